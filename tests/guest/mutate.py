#!/usr/bin/env python3
"""Is the image `state` able to see a lost field? By hand, not part of tests/run: each mutation takes a build.

    tests/guest/mutate.py SOURCE BUILD [NAME...]
    tests/guest/mutate.py --check SOURCE        only: is each text still there once? (part of tests/run)

Takes one field of the state that moves between the engines away at a time (in SOURCE, a work tree of its own, which is restored), builds BUILD's
tools/tandem and runs the image while the machine changes engines. A mutation that passes every run is printed as SURVIVED; exit status 1 then.
"""
import os
import subprocess
import sys

STATE, CHIPS = 'accel/kvm/state.c', 'accel/kvm/irqchip.c'
# name: (file, text, replacement). _out: KVM -> struct, _in: struct -> KVM.
MUTATIONS = {
    'gpr_out': (STATE, 'for (int n = 0; n < 16; n++)\n        s->gpr[n]', 'for (int n = 0; n < 15; n++)\n        s->gpr[n]'),
    'gpr_in': (STATE, 'for (int n = 0; n < 16; n++)\n        *gpr_of(r, n)', 'for (int n = 0; n < 15; n++)\n        *gpr_of(r, n)'),
    'rip_out': (STATE, '    s->rip = r->rip;\n', ''),
    'rflags_out': (STATE, '    x86_set_rflags(s, r->rflags);\n', ''),
    'rflags_in': (STATE, 'r->rflags = x86_rflags(s);', 'r->rflags = x86_rflags(s) & ~1ull;'),
    'segment_base_in': (STATE, '{ .base = s->base, .limit = s->limit, .selector', '{ .limit = s->limit, .selector'),
    'segment_limit_out': (STATE, '.base = k->base, .limit = k->limit, .sel', '.base = k->base, .limit = UINT32_MAX, .sel'),
    'segment_limit_in': (STATE, '{ .base = s->base, .limit = s->limit, .selector', '{ .base = s->base, .limit = UINT32_MAX, .selector'),
    'gdt_in': (STATE, '    r.gdt.base = s->gdt.base;\n', '    r.gdt.base = 0;\n'),
    'idt_out': (STATE, '    s->idt = (X86Dtr){ .base = r.idt.base, .limit = r.idt.limit };\n', '    s->idt = (X86Dtr){ 0 };\n'),
    'ldtr_tr_in': (STATE, 'for (int n = 0; n < X86_SEGS; n++)\n        kvm_seg_from', 'for (int n = 0; n < X86_LDTR; n++)\n        kvm_seg_from'),
    'cr2_out': (STATE, '    s->cr2 = r.cr2;\n', ''),
    'cr2_in': (STATE, '    r.cr2 = s->cr2;\n', '    r.cr2 = 0;\n'),
    'cr4_out': (STATE, '    s->cr4 = r.cr4;\n', '    s->cr4 = r.cr4 & ~(uint64_t)X86_CR4_PGE;\n'),
    'efer_out': (STATE, '    s->msr.efer = r.efer;\n', '    s->msr.efer = r.efer & ~1ull;\n'),
    'xcr0_in': (STATE, '.value = s->xcr0 }', '.value = 3 }'),
    'xsave_out': (STATE, '    kvm_xsave_to_state(ec->vm, s, &x);\n', ''),
    'xsave_in': (STATE, '    kvm_xsave_from_state(ec->vm, &x, s);\n', '    memset(&x, 0, sizeof(x));\n'),
    'avx_out': (STATE, 'area, (const uint8_t *)x->region, false)', 'area, (const uint8_t *)x->region, false);\n    memset(area + 576, 0, 256)'),
    'msr_sysenter': (STATE, 'MSR(0x175, sysenter_esp), ', ''),
    'msr_star': (STATE, 'MSR(0xc0000081, star), ', ''),
    'msr_lstar': (STATE, 'MSR(0xc0000082, lstar),', ''),
    'msr_sfmask': (STATE, 'MSR(0xc0000084, sfmask), ', ''),
    'msr_kernel_gs': (STATE, 'MSR(0xc0000102, kernel_gs_base), ', ''),
    'msr_pat': (STATE, 'MSR(0x277, pat), ', ''),
    'msr_mtrr': (STATE, 'MSR(0x26f, ', 'MSR(0x26e, '),
    'dr3_out': (STATE, 'for (int n = 0; n < 4; n++)\n        s->dr', 'for (int n = 0; n < 3; n++)\n        s->dr'),
    'dr6_in': (STATE, '.dr6 = s->dr[6], ', '.dr6 = 0xffff0ff0, '),
    'dr7_in': (STATE, ', .dr7 = s->dr[7] }', ', .dr7 = 0x400 }'),
    'int_shadow_out': (STATE, 's->ev.int_shadow = (uint8_t)(', 's->ev.int_shadow = 0 & (uint8_t)('),
    'int_shadow_in': (STATE, 'e.interrupt.shadow = (__u8)(', 'e.interrupt.shadow = 0 & (__u8)('),
    'nmi_pending_out': (STATE, '    s->ev.nmi_pending = e.nmi.pending != 0;\n', '    s->ev.nmi_pending = 0;\n'),
    'nmi_pending_in': (STATE, '    e.nmi.pending = s->ev.nmi_pending;\n', '    e.nmi.pending = 0;\n'),
    'nmi_masked_out': (STATE, '    s->ev.nmi_masked = e.nmi.masked;\n', '    s->ev.nmi_masked = 0;\n'),
    'nmi_masked_in': (STATE, '    e.nmi.masked = s->ev.nmi_masked;\n', '    e.nmi.masked = 0;\n'),
    'lapic_in': (CHIPS, '    if (ioctl(ec->fd, KVM_SET_LAPIC, &k) < 0)\n', '    if (0)\n'),
    'lapic_irr_in': (CHIPS, 'memcpy(k.regs + 16 * r, &l->reg[r], 4);', 'memcpy(k.regs + 16 * r, r >= 0x20 && r < 0x28 ? &(uint32_t){ 0 } : &l->reg[r], 4);'),
    'lapic_out': (CHIPS, 'memcpy(&l->reg[r], k.regs + 16 * r, 4);', 'memcpy(&l->reg[r], k.regs + 16 * r, r == 0x38 ? 0 : 4);'),
    'mp_state_out': (CHIPS, '        s->ev.mp_state = (uint8_t)mp.mp_state;\n', '        s->ev.mp_state = 0;\n'),
    'pic_imr_in': (CHIPS, '.imr = p->imr, ', ''),
    'pic_elcr_out': (CHIPS, ', .elcr = k->elcr,', ','),
    'ioapic_redir_out': (CHIPS, '        c->ioapic.redir[n] = k.chip.ioapic.redirtbl[n].bits;\n', '        c->ioapic.redir[n] = k.chip.ioapic.redirtbl[n].bits & ~0xffull;\n'),
}
RUNS = 4


def run(build, chips):
    """True if the image passed."""
    cmd = ['timeout', '-s', 'KILL', '25', build + '/tools/tandem', '-accel', 'kvm,kernel-irqchip=%s,ring0=kvm,switch-us=700' % chips, '-nodefaults',
           '-serial', 'stdio', '-m', '16', '-bios', build + '/tests/guest/state.bin', '-device', 'isa-debug-exit,iobase=0x501,iosize=2',
           '-device', 'pc-testdev', '-no-reboot']
    done = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace')
    last = done.stdout.strip().splitlines()[-1:] or ['no output']
    return done.returncode == 33, last[0] if done.returncode != -9 else 'hangs'


def mutate(source, build, name):
    path, text, new = MUTATIONS[name]
    path = os.path.join(source, path)
    with open(path) as f:
        good = f.read()
    if good.count(text) != 1:
        return 'the text is there %d times' % good.count(text)
    try:
        with open(path, 'w') as f:
            f.write(good.replace(text, new))
        made = subprocess.run(['ninja', '-C', build, 'tools/tandem'], capture_output=True, text=True)
        if made.returncode:
            return 'does not build: ' + made.stdout[-300:]
        for n in range(RUNS):
            ok, last = run(build, 'on' if path.endswith(CHIPS) else 'off')
            if not ok:
                return 'seen: ' + last
        return 'SURVIVED'
    finally:
        with open(path, 'w') as f:
            f.write(good)


def check(source):
    """Mutations whose text has changed would go untested."""
    bad = 0
    for name, (path, text, _) in MUTATIONS.items():
        with open(os.path.join(source, path)) as f:
            n = f.read().count(text)
        if n != 1:
            bad += 1
            print('%s: its text is %d times in %s; bring the table up to date' % (name, n, path))
    print('%d mutations, %d without a place' % (len(MUTATIONS), bad))
    return 1 if bad else 0


def main():
    if sys.argv[1] == '--check':
        return check(sys.argv[2])
    source, build, names = sys.argv[1], sys.argv[2], sys.argv[3:] or list(MUTATIONS)
    bad = 0
    for name in names:
        verdict = mutate(source, build, name)
        bad += not verdict.startswith('seen')
        print('%-20s %s' % (name, verdict), flush=True)
    subprocess.run(['ninja', '-C', build, 'tools/tandem'], capture_output=True)
    return 1 if bad else 0


sys.exit(main())
