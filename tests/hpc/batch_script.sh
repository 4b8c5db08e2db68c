#!/bin/bash

# Parameters
#SBATCH --account=myproject
#SBATCH --array=0-7%4
#SBATCH --comment='it'"'"'s mine'
#SBATCH --constraint='a100&nvlink'
#SBATCH --cpus-per-task=8
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --job-name=hpc-digits-a1b2c3.1
#SBATCH --mail-type=END,FAIL
#SBATCH --mem=120GB
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --open-mode=append
#SBATCH --output=%A_%a_log.out
#SBATCH --partition=gpu
#SBATCH --qos=long
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=240

# setup
export PYTHONSAFEPATH=1
module load cuda
export NOTE="two words"

# command
export SUBMITIT_EXECUTOR=slurm
exec apptainer exec image.sif python3 -u -m hpc.jobs job /home/me/runs/digits/jobs/1 1001
