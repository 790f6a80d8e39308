#!/bin/bash
# PTX of others for the simulator's tests: ptx/cuda.ptx of ptx/cuda.cu and ptx/hopper.ptx of ptx/hopper.cu by nvcc (CUDA 13.0). Run where the toolkit is installed.
set -euo pipefail
cd "$(dirname "$0")/ptx"
nvcc -ptx -arch=sm_80 -O3 cuda.cu -o cuda.ptx
nvcc -ptx -arch=sm_90a -std=c++17 -O3 hopper.cu -o hopper.ptx
