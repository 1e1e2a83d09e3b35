// What the processor can do. Exports cpu_features.
#include <weir/engine/cpu_features.h>

namespace weir::engine {

const CpuFeatures& cpu_features() {
  static const CpuFeatures kFeatures = [] {
    CpuFeatures features;
#if defined(__x86_64__)
    __builtin_cpu_init();
    features.x86_64 = true;
    features.avx2 = __builtin_cpu_supports("avx2") != 0;
    features.avx512 = features.avx2 && __builtin_cpu_supports("avx512f") != 0 &&
                      __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                      __builtin_cpu_supports("avx512vl") != 0;
    features.fast_gather = __builtin_cpu_is("intel") != 0;
#elif defined(__aarch64__)
    features.aarch64 = true;
#endif
    return features;
  }();
  return kFeatures;
}

}  // namespace weir::engine
