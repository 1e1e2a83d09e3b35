// The engine around machine code. Exports make_machine_engine.
#include "engine/machine_code.h"

#include <utility>

namespace weir::engine {
namespace {

class MachineEngine final : public Engine {
 public:
  MachineEngine(std::string_view name, MachineCode code, std::unique_ptr<Engine> rest)
      : name_(name), code_(std::move(code)), rest_(std::move(rest)) {}

  std::string_view name() const override { return name_; }
  CodeListing code() const override { return listing_of(code_.memory, code_.size, code_.marks); }

  std::uint32_t run(const packet::Packet& packet) const override {
    const std::uint32_t offset = 0;
    const packet::Columns columns{packet.data, &offset, &packet.length, &packet.wire_length, &packet.metadata, 1};
    std::uint32_t verdict = 0;
    return code_.filter(&columns, &verdict) == 1 ? verdict : rest_->run(packet);
  }

  void run(packet::Batch batch, std::span<std::uint32_t> verdicts) const override {
    run_as_columns(*this, batch, verdicts,
                   [this](const packet::Columns& columns, std::uint32_t* out) { run_columns(columns, out); });
  }

  void run(const packet::Columns& columns, std::span<std::uint32_t> verdicts) const override {
    run_columns(columns, verdicts.data());
  }

 private:
  void run_columns(const packet::Columns& columns, std::uint32_t* verdicts) const {
    for (std::size_t at = 0; at < columns.count; ++at) {
      const packet::Columns part = part_of(columns, at, columns.count - at);
      at += code_.filter(&part, verdicts + at);
      if (at < columns.count) verdicts[at] = rest_->run(columns[at]);
    }
  }

  std::string_view name_;
  MachineCode code_;
  std::unique_ptr<Engine> rest_;
};

}  // namespace

std::unique_ptr<Engine> make_machine_engine(std::string_view name, MachineCode code, std::unique_ptr<Engine> rest) {
  return std::make_unique<MachineEngine>(name, std::move(code), std::move(rest));
}

}  // namespace weir::engine
