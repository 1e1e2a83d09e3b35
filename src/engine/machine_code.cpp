// The engine around machine code. Exports make_machine_engine.
#include "engine/machine_code.h"

#include <utility>

namespace weir::engine {
namespace {

class MachineEngine final : public Engine {
 public:
  MachineEngine(std::string_view name, MachineCode code) : name_(name), code_(std::move(code)) {}

  std::string_view name() const override { return name_; }
  CodeListing code() const override { return listing_of(code_.memory, code_.size, code_.marks); }

  std::uint32_t run(const packet::Packet& packet) const override {
    const std::uint32_t offset = 0;
    const packet::Columns columns{packet.data, &offset, &packet.length, &packet.wire_length, &packet.metadata, 1};
    std::uint32_t verdict = 0;
    code_.filter(&columns, &verdict);
    return verdict;
  }

  void run(packet::Batch batch, std::span<std::uint32_t> verdicts) const override {
    run_as_columns(*this, batch, verdicts,
                   [this](const packet::Columns& columns, std::uint32_t* out) { code_.filter(&columns, out); });
  }

  void run(const packet::Columns& columns, std::span<std::uint32_t> verdicts) const override {
    if (columns.count != 0) code_.filter(&columns, verdicts.data());
  }

 private:
  std::string_view name_;
  MachineCode code_;
};

}  // namespace

std::unique_ptr<Engine> make_machine_engine(std::string_view name, MachineCode code) {
  return std::make_unique<MachineEngine>(name, std::move(code));
}

}  // namespace weir::engine
