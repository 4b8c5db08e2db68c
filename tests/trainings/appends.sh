#!/bin/sh
# A program in sh: it reads its hyperparameters as arguments, and appends its metrics to a file.
rate=$1
for step in 1 2 3; do
    echo "{\"step\": $step, \"val_loss\": 0.$((9 - step))$rate, \"note\": \"all is well\"}" >> "$HPC_METRICS"
done
echo "done in $HPC_FOLDER" > "$HPC_FOLDER/result.txt"
