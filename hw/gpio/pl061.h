#pragma once
#include "vmm/device.h"

/*
 * PrimeCell GPIO PL061: MMIO region 0; inputs 0-7 are the pins, output 0 the interrupt, outputs 1-8 the pins (level of a pin that is an output; pins
 * that nobody drives are pulled down). "gpio-key": output 0 goes up for 100 ms when it is pressed. "gpio-pwr": input 0 resets the machine, 1 switches it off.
 */
extern const DeviceClass pl061_class, gpio_key_class, gpio_pwr_class;

/* Any thread, no locks; for machine_set_powerdown_hook. @key is the gpio-key. */
void gpio_key_press(void *key);
