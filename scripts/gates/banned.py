"""Calls that do not belong into the code, or only into some folders."""
import re

from .tree import FOLDERS, LIBRARIES, PRODUCT, Violation

CLOCK_HOMES = ('util/', 'vmm/clock')
RANDOM_HOMES = ('util/', 'vmm/')

# (what, folders, paths exempt, why). A name is matched as a call; '=name' as an identifier anywhere.
RULES = [
    ('strcpy strcat sprintf vsprintf gets strtok stpcpy', FOLDERS, (), 'unbounded or stateful: use g_strlcpy, g_snprintf, g_strsplit'),
    ('atoi atol atoll atof', PRODUCT, (), 'cannot report an error: use g_ascii_string_to_signed or g_ascii_strtoll'),
    ('alloca g_alloca g_newa strdupa', FOLDERS, (), 'unbounded stack'),
    ('rand srand random srandom drand48', FOLDERS, (), 'hidden global state: own the generator'),
    ('tmpnam tempnam mktemp', FOLDERS, (), 'race: use mkstemp or memfd_create'),
    ('=constructor =__constructor__ =destructor =__destructor__', FOLDERS, (), 'no constructors: const structs in registries'),
    ('clock_gettime gettimeofday time ftime clock g_get_monotonic_time g_get_real_time g_date_time_new_now_utc '
     'g_date_time_new_now_local __rdtsc _rdtsc __builtin_ia32_rdtsc', PRODUCT, CLOCK_HOMES, 'time enters through vmm/clock.h or util/'),
    ('getrandom getentropy arc4random g_random_int g_random_int_range g_rand_new', PRODUCT, RANDOM_HOMES,
     'randomness enters through vmm/ or util/'),
    ('exit _exit _Exit quick_exit abort g_abort g_error', LIBRARIES, (), 'a library never ends the process'),
    ('printf vprintf puts putchar perror psignal g_print g_printerr g_message g_warning g_critical g_log g_info g_debug '
     'err errx warn warnx =stdout =stderr', LIBRARIES, (), 'a library never prints: util/log.h, or a GError'),
    ('system popen', PRODUCT, (), 'no shell in the product'),
    ('G_DEFINE_QUARK', PRODUCT, (), 'keeps a writable static: a function around g_quark_from_static_string does not'),
    ('signal', LIBRARIES, (), 'use sigaction'),
]


def compile_rules():
    out = []
    for names, folders, exempt, why in RULES:
        words = names.split()
        calls = [re.escape(w) for w in words if w[0] != '=']
        idents = [re.escape(w[1:]) for w in words if w[0] == '=']
        alts = []
        # Not a member (x->exit(), x.time()), not a declaration of a longer name.
        if calls:
            alts.append(r'(?<![\w.>])(%s)\s*\(' % '|'.join(calls))
        if idents:
            alts.append(r'(?<![\w.>])(%s)\b' % '|'.join(idents))
        out.append((re.compile('|'.join(alts)), folders, exempt, why))
    return out


def check(tree):
    rules, found = compile_rules(), []
    for path in tree.paths('.c', '.h', '.inc', '.def'):
        top, code = path.split('/')[0], tree.code(path)
        for pattern, folders, exempt, why in rules:
            if top not in folders or path.startswith(exempt):
                continue
            for m in pattern.finditer(code):
                name = next(g for g in m.groups() if g)
                line = code.count('\n', 0, m.start()) + 1
                found.append(Violation(path, name, 'line %d: %s' % (line, why)))
    return found
