#!/usr/bin/env python3
"""Compares the logits of `llama2 --logits` with those of the PyTorch model, over a greedy story.

usage: verify.py CKPT MODEL.bin TOKENIZER.bin [LLAMA2]
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

import train

ckpt, model, tokenizer = sys.argv[1:4]
program = sys.argv[4] if len(sys.argv) > 4 else "llama2"
reference = train.Model(train.Config())
reference.load_state_dict(torch.load(ckpt, map_location="cpu")["state"])

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "logits.f32")
    subprocess.run([program, model, "-z", tokenizer, "-t", "0", "-n", "300", "--logits", path],
                   capture_output=True, check=True)
    logits = np.fromfile(path, "<f4").reshape(-1, train.Config.vocab)

ids = torch.tensor([[1] + logits.argmax(axis=1)[:-1].tolist()])  # greedy: each token is the last logits' argmax
with torch.no_grad():
    expected = reference(ids)[0].numpy()
print("positions %d, largest |logit| %.3f, largest difference %.2e"
      % (len(logits), np.abs(expected).max(), np.abs(expected - logits).max()))
