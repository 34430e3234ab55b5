#!/usr/bin/env python3
"""Writes the decompositions of Unicode as Swift source.

Needs `pip install unicodedata2` (a newer Unicode than Python's own). Usage:

    make-unicode-table.py > Sources/Formats/Tokenizers/Normalizers/DecompositionTable.swift

One entry a character with a decomposition, in ascending order, each number in LEB128: the distance from the character
before, then length * 4 + kind (0: canonical, composes again; 1: canonical, does not; 2: compatibility), then the
characters of its mapping, one step, each as the zigzag distance from the one before. Hangul syllables are left out, since
they are arithmetic.
"""
import base64
import sys

import unicodedata2 as unicode


def number(value):
    output = bytearray()
    while True:
        output.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return output


def main():
    table = bytearray()
    previous = last = count = 0
    for code in range(0x110000):
        character = chr(code)
        parts = unicode.decomposition(character).split()
        if not parts or 0xAC00 <= code <= 0xD7A3:
            continue
        compatible = parts[0].startswith("<")
        mapping = [int(part, 16) for part in parts[compatible:]]
        kind = 2 if compatible else 0 if unicode.normalize("NFC", character) == character else 1
        table += number(code - previous) + number(len(mapping) * 4 + kind)
        for part in mapping:
            distance = part - last
            table += number(distance * 2 if distance >= 0 else -distance * 2 - 1)
            last = part
        previous = code
        count += 1
    text = base64.b64encode(bytes(table)).decode()
    print(f"// The decompositions of Unicode {unicode.unidata_version} ({count} characters), made by "
          "Scripts/make-unicode-table.py, which says what the\n// bytes mean. Do not edit.\n")
    print("/// Base64 of the table.")
    print('let decompositionTable: StaticString = """')
    lines = [text[start:start + 110] for start in range(0, len(text), 110)]
    print("\\\n".join("  " + line for line in lines))
    print('  """')
    print(f"{len(table)} bytes", file=sys.stderr)


main()
