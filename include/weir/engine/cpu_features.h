// What the processor can do, as far as engines care. Exports cpu_features.
//
// Probed once (the operating system's saving of wide registers included). A test, or a user who doubts a processor,
// passes LoadOptions a value with less set: engines never use what is not set there. Thread-safe.
#pragma once

namespace weir::engine {

struct CpuFeatures {
  bool x86_64 = false;
  bool avx2 = false;         // 8 packets a step
  bool avx512 = false;       // 16 packets a step: F, BW, DQ and VL
  bool fast_gather = false;  // a gather beats eight loads: Intel's do, AMD's do not
  bool aarch64 = false;
};

const CpuFeatures& cpu_features();

}  // namespace weir::engine
