// Any text as a key or a value of a map, with types and without: what is read has its size, is shown, and is read back
// to what is shown the same. Input: a byte that chooses the entry, then the text.
#include "map_entry_cases.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)weir::tests::try_entry(data, size);
  return 0;
}
