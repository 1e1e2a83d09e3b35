// ELF objects with extended programs, as clang and gcc make them and libbpf loads them.
//
// read() links each program with the functions it calls and gives it the object's maps: those of a section "maps" or
// ".maps" (BTF), and one array for each section of variables (.data, .rodata, .bss and their like). Every error carries
// the offset in the file. write() makes an object from programs. No file is opened here. Results own all that they
// hold. Thread-safe: no state. Source: ELF(5); docs.kernel.org/bpf/llvm_reloc.html, docs.kernel.org/bpf/btf.html;
// libbpf.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/ebpf/program.h>
#include <weir/object/btf.h>

namespace weir::object {

// What a map's description says beside what the program sees of it.
struct MapFacts {
  std::uint32_t key_type = 0;  // ids in the object's BTF; 0: not told
  std::uint32_t value_type = 0;
  std::uint64_t extra = 0;  // map_extra: bloom filters, how many hash functions
};
// What a slot of a map of maps or of programs holds at the start.
struct Preset {
  std::uint32_t map = 0;   // into Object::maps
  std::uint32_t slot = 0;  // the key
  std::uint32_t inner = 0;
  std::string program{};  // where it is not empty: this program, not `inner`
};

// What a program needs that only libbpf and a running kernel can give it.
struct Needs {
  bool core = false;       // accesses are relocated against the kernel's types (CO-RE)
  std::string external{};  // a variable or function of the kernel or its configuration; its uses are left as they are
  std::uint32_t external_at = 0;  // the first instruction that uses it
  bool any() const { return core || !external.empty(); }
};

struct Object {
  std::endian order = std::endian::little;
  std::string license{};
  std::vector<ebpf::MapDefinition> maps{};
  std::vector<MapFacts> facts{};  // of each map
  std::vector<Preset> presets{};
  std::vector<ebpf::Program> programs{};  // each has all maps, in the same order
  std::vector<std::string> sections{};    // of each program: the section's name
  std::optional<Btf> btf{};
  // The table of types as a kernel takes it, with the ids of `btf`; empty for objects of the other byte order.
  std::vector<std::uint8_t> kernel_types{};
  std::vector<Needs> needs{};  // of each program
};

// The object in these bytes.
Result<Object> read(ByteSpan bytes);
bool is_elf(ByteSpan bytes);

// The kind of program and where it is attached that a section's name tells: "xdp", "tc", "kprobe/do_exit".
struct SectionMeaning {
  ebpf::ProgramType type = ebpf::ProgramType::kUnspec;
  std::optional<ebpf::AttachType> attach{};
};
SectionMeaning meaning_of(std::string_view section);
// A section that means the program's type and where it attaches ("socket" for a program without a type); an error
// where there is none, or where several places are possible and the program names none.
Result<std::string> section_of(const ebpf::Program& program);

struct WriteOptions {
  std::string section{};        // empty: section_of(program)
  std::string license = "GPL";  // where the program has none
};
// One program as a relocatable ELF object (little-endian) with its functions, its maps in ".maps" with BTF for them,
// and its variables (arrays of one entry called .data, .rodata, .bss or .data.mine, ...): libbpf loads it, read() gives
// the same program. The maps keep their order where those in ".maps" stand together, those that only show what inner
// maps are like (OUTER.inner) last, as read() gives them; other programs have these maps together, where the first of
// them stood. What objects cannot say (maps by descriptor, contents and addresses of values of other maps) is an
// error with the instruction's place.
Result<std::vector<std::uint8_t>> write(const ebpf::Program& program, const WriteOptions& options = {});

}  // namespace weir::object
