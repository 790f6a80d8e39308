-- What a script sees beside the DSL: all of Lua, host arrays, devices, kernels by name. Gives the script as a function.
local core, S, tg, check = ...

return function(host, text, name)
  for key, value in pairs(host) do rawset(tg, key, value) end
  package.loaded.tegula = tg
  for key, f in pairs(check.checks) do _G[key] = f end
  if text:sub(1, 1) == "#" then text = "--" .. text end
  core.load(text, name)
  return core.load(check.rewrite(text), name)
end
