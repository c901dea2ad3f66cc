#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* "a=b,c=d" as options write it; ",," is a comma inside a value. */
typedef struct Key {
    char *name, *value;         /* value NULL: there was no '=' */
    bool used;
} Key;

typedef struct Keys {
    char *text;                 /* as given, for messages */
    GArray *list;               /* of Key */
} Keys;

/* A first element without '=' is the value of @implied (NULL: of none). Never NULL. */
Keys *keys_new(const char *text, const char *implied);
void keys_free(Keys *k);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Keys, keys_free)
/* The last value of @name, which counts as used; NULL if absent. A name without value reads as "on", "noNAME" as NAME=off. */
const char *keys_take(Keys *k, const char *name);
/* False with @err, which lists @known, if something was not used. */
bool keys_all_used(const Keys *k, const char *option, const char *known, GError **err);

/* "on", "off", "yes", "no", "true", "false". NULL text leaves *ret alone. */
bool parse_bool(const char *text, const char *what, bool *ret, GError **err);
/* Decimal or 0x, within [min, max]. NULL text leaves *ret alone. */
bool parse_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *ret, GError **err);
/* Bytes: a number, perhaps with a fraction, and b, K, M, G, T, P or E; without one times @unit. NULL text leaves *ret alone. */
bool parse_size(const char *text, const char *what, uint64_t unit, uint64_t *ret, GError **err);

/* One line for the user; always false. */
G_GNUC_PRINTF(2, 3) bool opt_fail(GError **err, const char *fmt, ...);
