-- What a script sees beside the DSL: all of Lua, host arrays, devices, kernels by name. Gives the script as a function.
local core, tg, shown, check, yarn = ... -- `shown` is tg as users hold it

return function(host, text, name)
  for key, value in pairs(host) do tg[key] = value end
  tg.yarn = yarn(host.tensor)
  package.loaded.tegula = shown
  for key, f in pairs(check.checks) do _G[key] = f end
  return core.load(text, name)
end
