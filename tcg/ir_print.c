/* The IR in words, and its rules. */
#include <stdio.h>

#include "tcg/tcg.h"

static const char *const type_name[IRT_TYPES] = { "", "i8", "i16", "i32", "i64", "fl", "v64", "v128", "v256" };
static const char *const cond_name[16] = { "o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g" };

typedef struct Out { char *buf; int size, n; } Out;

static void G_GNUC_PRINTF(2, 3) put(Out *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int room = o->n < o->size ? o->size - o->n : 0;
    o->n += vsnprintf(room ? o->buf + o->n : NULL, (size_t)room, fmt, ap);
    va_end(ap);
}

static void put_args(Out *o, const IrInsn *i)
{
    const IrVal v[4] = { i->a, i->b, i->c, i->d };
    for (int n = 0; n < 4; n++)
        if (v[n])
            put(o, " %%%u", v[n]);
        else if (n < 3 && n + 1 < ir_op_info[i->op].n_args && (v[n + 1] || (n < 2 && v[n + 2])))
            put(o, " -");
}

static void put_tail(Out *o, const IrUnit *u, const IrInsn *i)
{
    switch (i->op) {
    case IR_CONST: put(o, " %#llx", (unsigned long long)i->imm); break;
    case IR_VCONST: put(o, " %#llx:%#llx", (unsigned long long)u->vconst[i->imm % IR_MAX_VCONSTS][1], (unsigned long long)u->vconst[i->imm % IR_MAX_VCONSTS][0]); break;
    case IR_RGET: case IR_RPUT: case IR_VUPPER: put(o, " $%s", (uint64_t)i->imm < u->n_slots ? u->slots[i->imm].name : "?"); break;
    case IR_PC: case IR_INSN: case IR_GOTO: put(o, " %+lld", (long long)i->imm); break;
    case IR_EXTRACT: case IR_DEPOSIT: put(o, " [%lld+%lld]", (long long)(i->imm & 255), (long long)(i->imm >> 8)); break;
    case IR_LEA: put(o, " <<%u %+lld", i->aux, (long long)i->imm); break;
    case IR_FLMERGE: put(o, " mask %#llx", (unsigned long long)i->imm); break;
    case IR_COND: case IR_SELECT: put(o, " if %s", cond_name[i->aux & 15]); break;
    case IR_BRCOND: put(o, " if %s", cond_name[i->aux & 15]); put(o, " L%lld", (long long)i->imm); break;
    case IR_CROSS: put(o, " else L%lld", (long long)i->imm); break;
    case IR_LABEL: case IR_BR: case IR_BRZ: case IR_BRNZ: put(o, " L%lld", (long long)i->imm); break;
    case IR_LD: case IR_ST: put(o, " size %u%s%s%s regime %d", 1u << (i->mem & IRM_SIZE), i->mem & IRM_SIGN ? " sign" : "",
                                i->mem & IRM_ALIGN ? " align" : "", i->mem & IRM_RMW ? " rmw" : "", i->aux - 1); break;
    case IR_ZEXT: case IR_SEXT: case IR_CMP: case IR_TEST: case IR_BT: put(o, " of %s", type_name[i->aux % IRT_TYPES]); break;
    case IR_VOP: put(o, " op %lld imm %#llx", (long long)(i->imm & 0xffff), (unsigned long long)(i->imm >> 16)); break;
    case IR_CALL: case IR_NATIVE: case IR_EXIT: put(o, " #%lld", (long long)i->imm); break;
    default: if (i->aux) put(o, " /%u", i->aux);
    }
}

int ir_print_insn(const IrUnit *u, unsigned n, char *buf, int size)
{
    Out o = { buf, size, 0 };
    const IrInsn *i = &u->insn[n];
    if (ir_op_info[i->op].cls != 'N')
        put(&o, "%%%u = ", n);
    put(&o, "%s", ir_op_info[i->op].text);
    if (i->type != IRT_NONE)
        put(&o, ".%s", type_name[i->type % IRT_TYPES]);
    put_args(&o, i);
    put_tail(&o, u, i);
    return o.n;
}

const char *ir_verify(const IrUnit *u)
{
    bool label[IR_MAX_LABELS] = { false };
    unsigned born = 0;         /* values before this are dead: a label came between */
    for (unsigned n = 1; n < u->n; n++)
        if (u->insn[n].op == IR_LABEL) {
            if (u->insn[n].imm < 1 || u->insn[n].imm > u->n_labels || label[u->insn[n].imm])
                return "label out of range or set twice";
            label[u->insn[n].imm] = true;
        }
    for (unsigned n = 1; n < u->n; n++) {
        const IrInsn *i = &u->insn[n];
        const IrVal v[4] = { i->a, i->b, i->c, i->d };
        if (i->op >= IR_OPS || i->type >= IRT_TYPES)
            return "unknown operation or type";
        for (int k = 0; k < 4; k++) {
            if (v[k] && (v[k] >= n || v[k] < born))
                return "operand is not a live value";
            if (v[k] && ir_op_info[u->insn[v[k]].op].cls == 'N')
                return "operand has no value";
        }
        if ((i->op == IR_RGET || i->op == IR_RPUT) && (uint64_t)i->imm >= u->n_slots)
            return "no such slot";
        if ((i->op == IR_BR || i->op == IR_CROSS || i->op == IR_BRCOND || i->op == IR_BRZ || i->op == IR_BRNZ || i->op == IR_HOST) && (i->imm < 1 || i->imm > u->n_labels || !label[i->imm]))
            return "branch to no label";
        if (i->op == IR_FLAGS && (n - i->a > 2 || !(ir_op_info[u->insn[i->a].op].flags & IRF_F)))
            return "flags not right behind what makes them";
        if (i->op == IR_VUPPER && (uint64_t)i->imm + i->aux > u->n_slots)
            return "no such slots";
        if (i->op == IR_LABEL)
            born = n;
    }
    const IrInsn *last = &u->insn[u->n - 1];
    bool noreturn = last->op == IR_CALL && last->aux & TCG_H_NORETURN;
    return u->n > 1 && (ir_op_info[last->op].flags & IRF_X || noreturn) && last->op != IR_LABEL ? NULL : "unit does not end";
}
