// Any bytes as an ELF object: an Object whose programs can be checked and written, or an error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <weir/ebpf/text.h>
#include <weir/object/object.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto object = weir::object::read({data, size});
  if (!object) {
    if (object.error().message.empty()) std::abort();
    return 0;
  }
  for (const weir::ebpf::Program& program : object->programs) {
    (void)weir::ebpf::violations(program);
    (void)write(program, weir::ebpf::Format::kKernel);
  }
  return 0;
}
