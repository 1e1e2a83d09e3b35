// The kernel's log of compiled programs (net.core.bpf_jit_enable=2), read back into bytes.
//
//   flen=6 proglen=70 pass=3 image=ffffffffa0069c8f from=tcpdump pid=20
//   JIT code: 00000000: 55 48 89 e5 48 83 ec 60 48 89 5d f8 44 8b 4f 68
//
// Lines may have anything before them (timestamps, levels) and other lines between them. The image may be an address, a
// hashed one, or hidden; the offset of a line may be an address, as old kernels print it. Dumps of several programs may
// be mixed line by line: a line belongs to the dump that waits for its offset, of several the one that waits longest.
// Where lines are missing, a dump is read only if it stands together, and a program whose code may be another's is
// refused. Source: kernel/bpf/core.c, bpf_jit_dump. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>

namespace weir::debug {

// The longest program taken for real.
inline constexpr std::uint32_t kLongestImage = 1'000'000;

struct JitImage {
  std::string instruction_count;  // flen, as written
  std::string pass;               // as written
  std::string image;              // as written; "ffffffffa0069c8f"
  std::uint64_t address = 0;      // 0 where the image is hidden
  std::string from;               // the process that loaded it; may be empty
  std::vector<std::uint8_t> code;
};

// All dumps, in the order of their first lines; at least one. A dump that is cut short, or not made of bytes, is an
// error with its place in the text; or, with `left_out`, a warning there, so long as another dump is whole. Of many
// such dumps the first few are named, and a last warning says how many more there are.
Result<std::vector<JitImage>> read_jit_log(std::string_view text, Warnings* left_out = nullptr);
// The last one, whatever has become of those before it.
Result<JitImage> read_last_jit_dump(std::string_view text);

// bpf_jit_disasm's two lines above a listing.
std::string heading(const JitImage& image);

}  // namespace weir::debug
