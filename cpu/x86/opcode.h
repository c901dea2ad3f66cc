#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Of @n bytes of an instruction: how many from *ret_first on name the operation, prefixes and operands left out. At least 1 if n is. */
unsigned x86_opcode_bytes(const uint8_t *insn, unsigned n, unsigned *ret_first);
