#!/usr/bin/env python3
"""Makes the fixture of the sampling tests: which tokens transformers' logits processors leave, with their probabilities.

Needs `pip install torch transformers` (made with torch 2.13.0 and transformers 5.23.0). Usage:

    make-sampling-fixtures.py Tests/ModelsTests/Fixtures/sampling.json

The processors are applied in transformers' own order: repetition penalty, temperature, top-k, top-p, min-p, typical.
"""
import json
import sys

import torch
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

torch.manual_seed(1)
CASES = [
    {},
    {"temperature": 0.7},
    {"topK": 5},
    {"topP": 0.3},
    {"topP": 0.9},
    {"minP": 0.2},
    {"typical": 0.4},
    {"typical": 0.9},
    {"repetitionPenalty": 1.3},
    {"repetitionPenalty": 0.8},
    {"temperature": 1.5, "topP": 0.8},
    {"temperature": 0.5, "minP": 0.1},
    {"temperature": 0.6, "topK": 20, "topP": 0.95},
    {"temperature": 1.2, "topK": 30, "topP": 0.9, "minP": 0.05, "repetitionPenalty": 1.1},
    {"temperature": 0.8, "typical": 0.7, "repetitionPenalty": 1.2},
]


def processors(case):
    result = LogitsProcessorList()
    if "repetitionPenalty" in case:
        result.append(RepetitionPenaltyLogitsProcessor(case["repetitionPenalty"]))
    if "temperature" in case:
        result.append(TemperatureLogitsWarper(case["temperature"]))
    if "topK" in case:
        result.append(TopKLogitsWarper(case["topK"]))
    if "topP" in case:
        result.append(TopPLogitsWarper(case["topP"]))
    if "minP" in case:
        result.append(MinPLogitsWarper(case["minP"]))
    if "typical" in case:
        result.append(TypicalLogitsWarper(case["typical"]))
    return result


cases = []
for number, case in enumerate(CASES):
    vocabulary = [50, 100, 67][number % 3]
    logits = (torch.randn(vocabulary, dtype=torch.float64) * 3).round(decimals=3)
    text = torch.randint(0, vocabulary, (1, 12))
    left = processors(case)(text, logits[None].clone())[0].log_softmax(-1)
    cases.append({
        "configuration": {"temperatureFirst": True, **case},
        "prompt": text[0].tolist(),
        "logits": logits.tolist(),
        "left": {str(token): round(value, 5) for token, value in enumerate(left.tolist()) if value > -1e30},
    })
with open(sys.argv[1], "w") as file:
    json.dump(cases, file, separators=(",", ":"))
