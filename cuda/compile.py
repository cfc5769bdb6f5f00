"""CUDA C++ to PTX through NVRTC alone: no nvcc, no host compiler, no CUDA headers.

usage: compile.py LIBNVRTC ARCH OUTPUT SOURCE...      e.g. compile.py libnvrtc.so.12 compute_80 out.ptx stream.cu

The sources are compiled as one translation unit. Headers are handed over as text, so that no path of this machine
reaches the output.
"""

import ctypes
import pathlib
import sys

STDINT = """#pragma once
typedef signed char int8_t; typedef unsigned char uint8_t; typedef unsigned short uint16_t;
typedef int int32_t; typedef unsigned int uint32_t; typedef unsigned long long uint64_t;
"""


def strings(texts):
    return (ctypes.c_char_p * len(texts))(*[text.encode() for text in texts])


class Nvrtc:
    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code:
            sys.exit(f"{name}: {self.library.nvrtcGetErrorString(code).decode()}")

    def text(self, program, what):
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw[:-1].decode()

    def compile(self, source, headers, options):
        program = ctypes.c_void_p()
        names, texts = strings(list(headers)), strings(list(headers.values()))
        self.call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"byteleap.cu", len(headers), texts, names)
        if self.library.nvrtcCompileProgram(program, len(options), strings(options)):
            sys.exit(self.text(program, "ProgramLog"))
        return self.text(program, "PTX")


def main(library, arch, output, *sources):
    folder = pathlib.Path(sources[0]).resolve().parent
    headers = {header.name: header.read_text() for header in sorted(folder.glob("*.cuh"))}
    source = "".join(pathlib.Path(source).read_text() for source in sources)
    options = [f"--gpu-architecture={arch}", "--std=c++17"]
    ptx = Nvrtc(library).compile(source, {"stdint.h": STDINT, **headers}, options)
    pathlib.Path(output).write_text(ptx)


if __name__ == "__main__":
    main(*sys.argv[1:])
