#!/usr/bin/env python3
"""Makes the GGUF fixtures of Tests/FormatsTests with the reference implementation.

    pip install gguf numpy
    python Scripts/make-gguf-fixtures.py

sample.gguf has a value of every kind and tensors of plain and block types; split-*.gguf are the same two tensors in parts.
"""
import os

import gguf
import numpy as np

FOLDER = os.path.join(os.path.dirname(__file__), "..", "Tests", "FormatsTests", "Fixtures")


def block_bytes(name, rows, columns):
    """Bytes that only count upwards: tests compare bytes, not numbers."""
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    count = rows * columns // elements * size
    return (np.arange(count) % 251).astype(np.uint8).reshape(rows, -1)


def sample():
    writer = gguf.GGUFWriter(os.path.join(FOLDER, "sample.gguf"), "llama")
    writer.add_custom_alignment(64)
    writer.add_uint8("test.uint8", 200)
    writer.add_int8("test.int8", -100)
    writer.add_uint16("test.uint16", 60_000)
    writer.add_int16("test.int16", -30_000)
    writer.add_uint32("test.uint32", 4_000_000_000)
    writer.add_int32("test.int32", -2_000_000_000)
    writer.add_uint64("test.uint64", 2**64 - 1)
    writer.add_int64("test.int64", -(2**62))
    writer.add_float32("test.float32", 0.1)
    writer.add_float64("test.float64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", 'é\n"quoted"')
    writer.add_array("test.strings", ["a", "", "日本", "<0x0A>"])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -1.5])
    writer.add_array("test.bools", [True, False, True])
    writer.add_tensor("f32", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("f16", np.arange(24, dtype=np.float16).reshape(2, 3, 4))
    writer.add_tensor("i32", np.array([7, -8], dtype=np.int32))
    for name, columns in [("BF16", 5), ("Q4_0", 64), ("Q8_0", 32), ("Q4_K", 256), ("Q6_K", 256), ("MXFP4", 32)]:
        raw = block_bytes(name, 2, columns)
        writer.add_tensor(name.lower(), raw, raw_dtype=gguf.GGMLQuantizationType[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def split():
    writer = gguf.GGUFWriter(os.path.join(FOLDER, "split.gguf"), "llama", split_max_tensors=1)
    writer.add_name("in parts")
    writer.add_tensor("first", np.arange(4, dtype=np.float32))
    writer.add_tensor("second", np.arange(4, 8, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


sample()
split()
