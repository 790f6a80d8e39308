#!/bin/bash
# Completion as bash asks for it: the words offered follow from the option tables.
set -u
PATH=$1:$PATH
failures=0
source <(tegula completion) || exit 1

offers() { # words that must be offered, then the command line, its last word being completed
  local want=$1 word
  shift
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _tegula
  for word in $want; do
    [[ " ${COMPREPLY[*]} " == *" $word "* ]] || { echo "'$*' offers '${COMPREPLY[*]}' without $word"; failures=$((failures + 1)); }
  done
}
offers 'compile completion' tegula comp
offers 'lane layouts layouts-svg llvm' tegula compile --emit l
offers 'cpu:avx2 nvptx:sm_80 a100' tegula compile --target ''
offers 'cpu interp' tegula exec --device ''
offers 'gemm_fp8 rmsnorm' tegula bench ''
offers '--strategy' tegula tune --str
offers 'random exhaustive forest' tegula tune --strategy ''

# Every option that a command's help names is offered.
for command in $(tegula --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
  offers "--help $(tegula "$command" --help | sed -n 's/^  \(-[-a-z]*\) .*/\1/p' | tr '\n' ' ')" tegula "$command" -
done
exit $((failures != 0))
