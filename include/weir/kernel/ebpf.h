// Extended programs and their maps in the running kernel: all of it in one header.
#pragma once

#include <weir/kernel/inventory.h>
#include <weir/kernel/link.h>
#include <weir/kernel/map.h>
#include <weir/kernel/program.h>
#include <weir/kernel/type_table.h>
