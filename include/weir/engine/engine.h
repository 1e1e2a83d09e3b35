// Engines: what runs checked classic programs over packets.
//
// One contract, several engines behind it; all give the same 32-bit verdict for the same program and packet. load()
// picks one (or the one asked for). An Engine is immutable after load and may be run from many threads at once.
// Meaning: net/core/filter.c; see docs/semantics.md.
//
// Three shapes of work, from the slowest a packet to the fastest:
//   run(packet)             one packet
//   run(batch, verdicts)    packets that lie anywhere in memory
//   run(columns, verdicts)  packets near each other, as columns (a mapped capture): taken as it is by machine code
// match() is the same with one bit a packet instead of a verdict. A few dozen packets a call are enough to hide its
// cost; some thousands keep the columns in the first cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/engine/cpu_features.h>
#include <weir/flow/graph.h>
#include <weir/packet/columns.h>
#include <weir/packet/packet.h>

namespace weir::engine {

enum class Kind : std::uint8_t {
  kAutomatic,    // "auto": the cheapest for the work that LoadOptions announces
  kInterpreter,  // "interpreter": every machine, nothing to compile
  kScalar,       // "scalar": machine code, one packet after another
  kAvx2,         // "avx2": machine code, eight packets a step
  kAvx512,       // "avx512": machine code, sixteen packets a step
};

// All kinds and their names, in the order of the enumeration.
struct KindInfo {
  Kind kind;
  std::string_view name;
  std::string_view text;  // one line for users
};
std::span<const KindInfo> kinds();
std::string_view name_of(Kind kind);
// The kind with this name (as --engine= takes it), or a kUsage error: it names all where there is no such engine, and
// what the processor lacks where it cannot run the engine.
Result<Kind> read_kind(std::string_view name, const CpuFeatures& features = cpu_features());

// Where the machine code of a part of a classic program begins. Parts may have several places (code for long and for
// short packets) or none (tests that became one set).
struct CodeMark {
  std::uint32_t offset = 0;  // into the code, in bytes
  std::uint32_t first = 0;   // the instructions [first, end)
  std::uint32_t end = 0;
};

// Machine code as it lies in memory, for those who want to read it. Both spans live as long as the engine.
struct CodeListing {
  ByteSpan bytes{};
  std::span<const CodeMark> marks{};  // ascending offsets; empty without LoadOptions::marks, and for graphs
};

struct LoadOptions {
  Kind kind = Kind::kAutomatic;
  CpuFeatures features = cpu_features();               // what machine code may use
  std::uint64_t expected_packets = ~std::uint64_t{0};  // kAutomatic: few packets are not worth compiling for
  bool marks = false;                                  // note where the code of each part of the program begins
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string_view name() const = 0;

  // The program's verdict: 0 drops, anything else is how many bytes to keep.
  virtual std::uint32_t run(const packet::Packet& packet) const = 0;

  // One verdict a packet. verdicts.size() == batch.size().
  virtual void run(packet::Batch batch, std::span<std::uint32_t> verdicts) const = 0;

  // One verdict a packet. verdicts.size() == columns.count.
  virtual void run(const packet::Columns& columns, std::span<std::uint32_t> verdicts) const = 0;

  // The machine code that packets run through; empty for interpreters.
  virtual CodeListing code() const { return {}; }

  // One bit a packet: bit i % 64 of bits[i / 64] says whether packet i's verdict is not 0; bits beyond the count are 0.
  // bits.size() == (columns.count + 63) / 64. Returns how many packets match.
  virtual std::size_t match(const packet::Columns& columns, std::span<std::uint64_t> bits) const;
};

// Several engines over the same packets in one pass: what their programs load alike is loaded once.
class Joined {
 public:
  virtual ~Joined() = default;
  // As Engine::match() for each engine, in order: (columns.count + 63) / 64 words each.
  virtual void match(const packet::Columns& columns, std::span<std::uint64_t> bits) const = 0;
};

// Null where nothing is gained: engines that are not code in vector lanes are only run one after another. The engines
// must outlive the result, which may be used from many threads.
std::unique_ptr<Joined> join(std::span<const Engine* const> engines);

// Fails with kUnsupported when options.kind asks for what the processor (options.features) cannot do, or for machine
// code of a program that computes too much at once; kAutomatic falls back to the interpreter. Programs read packets:
// loads are in network byte order whatever the program was checked for, those of seccomp too.
Result<std::unique_ptr<Engine>> load(const cbpf::Checked& program, const LoadOptions& options = {});

// The same from a flow graph, in either form. Machine code is made from the graph itself; the interpreter, and what the
// code generators do not take (edges of failed loads that do not lead to verdict 0, more than 64 slots and parameters),
// goes through classic code. The graph must keep the rules of flow::validate.
Result<std::unique_ptr<Engine>> load(const flow::Graph& graph, const LoadOptions& options = {});

}  // namespace weir::engine
