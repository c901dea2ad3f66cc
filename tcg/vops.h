#pragma once

/* Numbers of the vector operations, see vops.def. */
enum VopId {
#define VOP(name, form, enc, fp) VOP_##name,
#include "tcg/vops.def"
#undef VOP
    VOPS
};
