// The passes over decisions. Each keeps every verdict of every packet; each says whether it changed anything.
#pragma once

#include "flow/decisions.h"

namespace weir::flow {

// Facts are carried along all paths; demands that they cover and tests that they decide go, and each way leads to where
// its facts lead it.
bool thread(Decisions& decisions);
// Chains of tests on one value that lead to one place become one test of a set.
bool gather(Decisions& decisions);
// Equal decisions become one.
bool share(Decisions& decisions);
// Two tests of neighbouring bytes become one of a wider load.
bool widen(Decisions& decisions);
// Parameters that are chosen from constants start from 0.
bool rebase(Decisions& decisions);
// Decisions that are equal but for where they load from become one that takes the place as a parameter.
bool merge(Decisions& decisions);

}  // namespace weir::flow
