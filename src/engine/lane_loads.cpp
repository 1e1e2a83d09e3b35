// Loads in lanes. The part of LaneBody that reads packets.
#include <algorithm>

#include "engine/lane_body.h"
#include "engine/plan_passes.h"

namespace weir::engine {

using flow::Op;
namespace x86 = asmjit::x86;
namespace Inst = x86::Inst;

namespace {

constexpr std::uint32_t kGatherBytes = 4;
constexpr std::uint32_t kRowBytes = 16;

// What loading for all lanes costs, as measured: on Intel's processors since Ice Lake a row takes as long as 1.6
// gathers, on AMD's Zen 3 a third of one. A field across two words of a row takes two more instructions.
constexpr std::uint32_t kRow = 8;
constexpr std::uint32_t kFastGather = 5;
constexpr std::uint32_t kSlowGather = 24;

template <typename Field>
std::vector<Field*> ascending(std::vector<Field>& fields) {
  std::vector<Field*> out;
  for (Field& field : fields) out.push_back(&field);
  std::sort(out.begin(), out.end(), [](const Field* a, const Field* b) { return a->k < b->k; });
  return out;
}

}  // namespace

// What loads at constant offsets read, and loads whose address is one of few constants.
void LaneBody::plan_fields() {
  for (NodeId id = 0; id < plan_.nodes.size(); ++id) {
    const Node& node = plan_[id];
    if (const std::uint64_t extent = constant_extent(node); extent != 0 && extent <= known_length_) {
      field_of_[id] = field_at(node.k, node.size);
    } else if (const std::vector<std::uint32_t> addresses = address_choices(plan_, node);
               !addresses.empty() && std::uint64_t{addresses.back()} + node.k + node.size <= known_length_) {
      for (const std::uint32_t address : addresses)
        choices_[id].push_back({address, field_at(address + node.k, node.size)});
    }
  }
  plan_windows();
  find_homes();
}

std::uint32_t LaneBody::field_at(std::uint32_t k, std::uint32_t size) {
  for (std::uint32_t f = 0; f < fields_.size(); ++f)
    if (fields_[f].k == k && fields_[f].size == size) return f;
  fields_.push_back({k, size});
  return static_cast<std::uint32_t>(fields_.size() - 1);
}

std::uint32_t LaneBody::window_at(std::uint32_t start, std::uint32_t row) {
  for (std::uint32_t w = 0; w < windows_.size(); ++w)
    if (windows_[w].start == start && windows_[w].row == row) return w;
  windows_.push_back({start, row, kNothing, Vec()});
  return static_cast<std::uint32_t>(windows_.size() - 1);
}

// Neighbours in ascending order share a gather, as far as four bytes reach, or a row, as far as sixteen do: the
// cheapest division of all fields. None ends beyond what all packets have: kLeastLength is more than a row.
void LaneBody::plan_windows() {
  const std::vector<Field*> fields = ascending(fields_);
  struct Part {  // the last one of the fields before some place
    std::uint32_t cost = 0;
    std::size_t begin = 0;
    std::uint32_t start = 0;
    bool is_row = false;
  };
  std::vector<Part> parts(fields.size() + 1);
  for (std::size_t end = 1; end <= fields.size(); ++end) {
    Part& best = parts[end];
    best.cost = kNothing;
    std::uint32_t behind = 0;
    for (std::size_t begin = end; begin-- > 0;) {
      const std::span<Field* const> members = std::span(fields).subspan(begin, end - begin);
      const std::uint32_t first = members.front()->k;
      behind = std::max(behind, first + members.front()->size);
      if (behind - first > kRowBytes) break;
      const auto consider = [&](std::uint32_t cost, std::uint32_t start, bool is_row) {
        cost += parts[begin].cost;
        if (cost < best.cost) best = {cost, begin, start, is_row};
      };
      if (behind - first <= kGatherBytes)
        consider(fast_gather_ ? kFastGather : kSlowGather, std::min(first, known_length_ - kGatherBytes), false);
      const RowStart row = row_start(members, behind);
      consider(kRow + row.crossings, row.start, true);
    }
  }
  for (std::size_t end = fields.size(); end > 0; end = parts[end].begin) {
    const Part& part = parts[end];
    const auto row = static_cast<std::uint32_t>(rows_.size());
    if (part.is_row) rows_.push_back({part.start, kNothing});
    for (std::size_t i = part.begin; i < end; ++i) {
      Field& field = *fields[i];
      if (!part.is_row) {
        field.window = window_at(part.start, kNothing);
        continue;
      }
      const std::uint32_t word = part.start + (field.k - part.start) / 4 * 4;
      field.window = window_at(word, row);
      if (crosses(field, part.start)) field.second = window_at(word + 4, row);
    }
  }
}

bool LaneBody::crosses(const Field& field, std::uint32_t start) {
  return (field.k - start) / 4 != (field.k + field.size - 1 - start) / 4;
}

// Where a row with these fields is best begun: up to three bytes before the first one, where fewer of them then lie
// across words.
LaneBody::RowStart LaneBody::row_start(std::span<Field* const> members, std::uint32_t behind) const {
  const std::uint32_t latest = std::min(members.front()->k, known_length_ - kRowBytes);
  RowStart best{latest, kNothing};
  for (std::uint32_t at = latest;; --at) {
    const auto count = static_cast<std::uint32_t>(
        std::count_if(members.begin(), members.end(), [&](const Field* field) { return crosses(*field, at); }));
    if (count < best.crossings) best = {at, count};
    if (at == 0 || at + 3 == latest || behind > at - 1 + kRowBytes) return best;
  }
}

// The home of a window or row: the nearest block that dominates all that use it.
void LaneBody::find_homes() {
  std::vector<std::uint32_t> seen(plan_.nodes.size(), kNothing);
  std::vector<NodeId> pending;
  const auto meet = [&](PlanBlockId& home, PlanBlockId block) {
    if (home == kNothing) home = block;
    while (home != block) {
      PlanBlockId& deeper = home > block ? home : block;
      deeper = dominator_[deeper];
    }
  };
  const auto use = [&](NodeId root, PlanBlockId block, std::uint32_t stamp) {
    if (root != kNothing) pending.push_back(root);
    while (!pending.empty()) {
      const NodeId id = pending.back();
      pending.pop_back();
      if (seen[id] == stamp) continue;
      seen[id] = stamp;
      const auto reads = [&](const Field& field) {
        for (const std::uint32_t window : {field.window, field.second})
          if (window != kNothing) meet(windows_[window].home, block);
      };
      if (field_of_[id] != kNothing) reads(fields_[field_of_[id]]);
      for (const Choice& choice : choices_[id]) reads(fields_[choice.field]);
      if (plan_[id].op == Op::kParameter) continue;
      for (const NodeId operand : {plan_[id].a, plan_[id].b})
        if (operand != kNothing) pending.push_back(operand);
    }
  };
  for (PlanBlockId id = 0; id < plan_.blocks.size(); ++id) {
    const PlanBlock& block = plan_.blocks[id];
    for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g) use(plan_.guards[g], id, id);
    use(block.lhs, id, id);
    use(block.rhs, id, id);
    for (const PlanEdge* edge : {&block.if_true, &block.if_false})
      for (std::uint32_t i = edge->assignments.begin; i < edge->assignments.end; ++i)
        use(plan_.assignments[i].value, id, id);
  }
  for (const NodeId id : plan_.shared) use(id, 0, static_cast<std::uint32_t>(plan_.blocks.size()));
  for (const Window& window : windows_)
    if (window.row != kNothing && window.home != kNothing) meet(rows_[window.row].home, window.home);
}

// What several blocks below use, and this one dominates.
void LaneBody::open_homes(PlanBlockId id) {
  for (std::uint32_t w = 0; w < windows_.size(); ++w) {
    const Window& window = windows_[w];
    if ((window.row != kNothing ? rows_[window.row].home : window.home) == id) open_window(w);
  }
}

void LaneBody::open_window(std::uint32_t number) {
  Window& window = windows_[number];
  if (window.bytes.isValid()) return;
  if (window.row != kNothing) return load_row(window.row);
  window.bytes =
      gather_from_packets(group_.offsets, static_cast<std::int32_t>(window.start), lanes_.all_lanes(group_.offsets));
  taken_windows_.push_back(number);
}

// Sixteen bytes of each packet, transposed: windows for less than half of what gathers cost where those are slow.
void LaneBody::load_row(std::uint32_t number) {
  const std::uint32_t start = rows_[number].start;
  Vec packets[4];  // packet i + 4 q in quarter q
  for (std::uint32_t i = 0; i < 4; ++i) {
    packets[i] = lanes_.vector();
    for (std::uint32_t q = 0; q < lanes_.count() / 4; ++q)
      lanes_.load_quarter(
          packets[i], x86::xmmword_ptr(group_.base, lane_offsets_[i + 4 * q], 0, static_cast<std::int32_t>(start)), q);
  }
  Vec pairs[2][2];  // of words 0 and 1, of words 2 and 3
  for (std::uint32_t w = 0; w < windows_.size(); ++w) {
    if (windows_[w].row != number) continue;
    const std::uint32_t word = (windows_[w].start - start) / 4;
    Vec* const pair = pairs[word / 2];
    for (std::uint32_t i = 0; i < 2 && !pair[1].isValid(); ++i)
      pair[i] = lanes_.with(word < 2 ? Inst::kIdVpunpckldq : Inst::kIdVpunpckhdq, packets[2 * i], packets[2 * i + 1]);
    windows_[w].bytes = lanes_.with(word % 2 == 0 ? Inst::kIdVpunpcklqdq : Inst::kIdVpunpckhqdq, pair[0], pair[1]);
    taken_windows_.push_back(w);
  }
}

// Of loads at one address that not all packets have, those whose bytes all lie within four that end where the last of
// them ends. The address varies, or is constant and beyond the known length.
void LaneBody::plan_shared_gathers() {
  std::vector<NodeId> loads;
  for (const NodeId id : plan_.guards) {
    const Node& node = plan_[id];
    if (node.op != Op::kLoad || field_of_[id] != kNothing || !choices_[id].empty()) continue;
    const std::uint64_t largest = node.a == kNothing ? 0 : values_.largest(node.a);
    if (largest + node.k + 4 <= 0x7fffffff) loads.push_back(id);
  }
  const auto end = [&](NodeId id) { return plan_[id].k + plan_[id].size; };
  std::sort(loads.begin(), loads.end(), [&](NodeId a, NodeId b) {
    return plan_[a].a != plan_[b].a ? plan_[a].a < plan_[b].a : end(a) != end(b) ? end(a) > end(b) : a < b;
  });
  loads.erase(std::unique(loads.begin(), loads.end()), loads.end());
  for (std::size_t i = 0; i < loads.size();) {
    const NodeId base = plan_[loads[i]].a;
    const std::uint32_t last = end(loads[i]);
    const std::uint32_t start = last < 4 ? 0 : last - 4;
    std::size_t next = i;
    std::vector<NodeId> members;
    while (next < loads.size() && plan_[loads[next]].a == base && plan_[loads[next]].k >= start)
      members.push_back(loads[next++]);
    if (members.size() > 1 && last >= 4) {
      for (const NodeId id : members) shared_of_[id] = static_cast<std::uint32_t>(shared_.size());
      shared_.push_back({base, start, Vec()});
    }
    i = std::max(next, i + 1);
  }
}

void LaneBody::open_shared(std::uint32_t number, const Mask& mask) {
  SharedGather& shared = shared_[number];
  if (shared.bytes.isValid()) return;
  Vec index = group_.offsets;
  Test outside;
  if (shared.base == kNothing) {
    const Test inside = lanes_.signed_greater(group_.lengths, lanes_.constant(shared.start + 3));
    outside = {lanes_.both(inside, false, mask)};
  } else {
    const Vec base = value(shared.base, mask);
    const Vec end = lanes_.with(Inst::kIdVpaddd, base, lanes_.constant(shared.start + 4));
    outside = lanes_.signed_greater(end, group_.lengths);
    index = lanes_.with(Inst::kIdVpaddd, group_.offsets, base);
  }
  lanes_.jump_if_any(outside, mask, group_.leave);
  shared.bytes = gather_from_packets(index, static_cast<std::int32_t>(shared.start), mask);
  taken_shared_.push_back(number);
}

x86::Vec LaneBody::gather_from_packets(const Vec& index, std::int32_t displacement, const Mask& mask) {
  return lanes_.gather(group_.base, index, 0, displacement, mask);
}

// The big-endian number in bytes [at, at + size) of each four; bytes that lie elsewhere are 0.
x86::Vec LaneBody::extract(const Vec& four_bytes, std::int32_t at, std::uint32_t size) {
  std::uint8_t pattern[16];
  for (std::int32_t i = 0; i < 16; ++i) {
    const std::int32_t byte = i % 4;  // of the result, from the lowest
    const std::int32_t from = at + static_cast<std::int32_t>(size) - 1 - byte;
    const bool inside = byte < static_cast<std::int32_t>(size) && from >= 0 && from < 4;
    pattern[i] = static_cast<std::uint8_t>(inside ? i - byte + from : 0x80);
  }
  return lanes_.with(Inst::kIdVpshufb, four_bytes, lanes_.bytes(pattern));
}

x86::Vec LaneBody::compute_load(NodeId id, const Mask& mask) {
  const Node& node = plan_[id];
  if (const std::uint32_t number = shared_of_[id]; number != kNothing) {
    open_shared(number, mask);
    return extract(shared_[number].bytes, static_cast<std::int32_t>(node.k - shared_[number].start), node.size);
  }
  if (!choices_[id].empty()) return load_chosen(id);
  if (node.a != kNothing) return load_at_varying_address(node, mask);
  if (field_of_[id] != kNothing) return load_field(fields_[field_of_[id]]);
  // Beyond the known length, so beyond 4: the four bytes that end where the field ends.
  const auto start = static_cast<std::int32_t>(node.k + node.size - 4);
  return extract(gather_from_packets(group_.offsets, start, mask), 4 - node.size, node.size);
}

x86::Vec LaneBody::load_field(const Field& field) {
  open_window(field.window);
  const Window& window = windows_[field.window];
  const auto at = static_cast<std::int32_t>(field.k - window.start);
  const Vec first = extract(window.bytes, at, field.size);
  if (field.second == kNothing) return first;
  return lanes_.with(Inst::kIdVpor, first, extract(windows_[field.second].bytes, at - 4, field.size));
}

x86::Vec LaneBody::load_chosen(NodeId id) {
  const std::vector<Choice>& choices = choices_[id];
  const Vec out = load_field(fields_[choices.front().field]);
  for (std::size_t i = 1; i < choices.size(); ++i) {
    const Test here =
        lanes_.compare(flow::Condition::kEqual, cached_[plan_[id].a], lanes_.constant(choices[i].address));
    lanes_.blend(out, load_field(fields_[choices[i].field]), here.lanes);
  }
  return out;
}

x86::Vec LaneBody::load_at_varying_address(const Node& node, const Mask& mask) {
  const std::uint32_t before = 4u - node.size;  // bytes of the four that come before the field
  const bool wraps = std::uint64_t{values_.largest(node.a)} + node.k > 0x7fffffff;
  if (!wraps && node.k >= before) {
    const Vec index = lanes_.with(Inst::kIdVpaddd, group_.offsets, cached_[node.a]);
    const auto start = static_cast<std::int32_t>(node.k - before);
    return extract(gather_from_packets(index, start, mask), static_cast<std::int32_t>(before), node.size);
  }
  // The field may start in the packet's first bytes: the four start there at the earliest, and are shifted.
  const Vec start = lanes_.with(Inst::kIdVpaddd, cached_[node.a], lanes_.constant(node.k));
  const Vec excess = lanes_.with(Inst::kIdVpmaxud, start, lanes_.constant(before));
  c_.vpsubd(excess, excess, start);  // bytes of the four that come after the field
  c_.vpaddd(start, start, excess);
  lanes_.emit(Inst::kIdVpsubd, start, start, lanes_.constant(before));
  c_.vpaddd(start, start, group_.offsets);
  const Vec four = extract(gather_from_packets(start, 0, mask), 0, 4);
  c_.vpslld(excess, excess, 3);
  const Vec out = lanes_.with(Inst::kIdVpsrlvd, four, excess);
  return node.size == 4 ? out : lanes_.with(Inst::kIdVpand, out, lanes_.constant((1u << (8 * node.size)) - 1));
}

}  // namespace weir::engine
