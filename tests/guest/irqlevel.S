/* irq.S with level interrupts and priorities. */
#define LEVELS
#include "tests/guest/irq.S"
