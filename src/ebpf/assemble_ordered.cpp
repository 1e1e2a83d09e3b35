// The text assembler: what came after RFC 9669, in the syntax of the kernel and LLVM.
//
//   r1 = load_acquire((u32 *)(r2 + 4))      store_release((u32 *)(r1 + 4), r2)      u8, u16, u32, u64
//   may_goto out                            r1 = addr_space_cast(r2, 0, 1)          to space 0 from space 1
//
// As with other loads and stores, LLVM writes w registers where the width is not 8 bytes.
#include <fmt/format.h>

#include "ebpf/text_parser.h"

namespace weir::ebpf {

// The word, then ((u32 *)(r2 + 4)
std::optional<TextParser::OrderedPlace> TextParser::ordered_place() {
  next();
  if (!expect("(")) return std::nullopt;
  const Span span = peek(1).span;
  const auto type = pointer_type();
  const auto width = type ? width_of(*type, span, false) : std::nullopt;
  if (!width) return std::nullopt;
  const auto memory = kernel_memory();
  if (!memory) return std::nullopt;
  return OrderedPlace{*width, *memory};
}

void TextParser::assign_acquired(RegisterWord dst) {
  const auto place = ordered_place();
  if (!place || !expect(")")) return;
  if (dst.half && place->width == Width::kDouble)
    return complain("this load needs a 64-bit register", words_[statement_start_].span, "write 'r' for 'w'");
  assembler_.load_acquire(place->width, dst.reg, place->memory.base, place->memory.offset);
}

void TextParser::store_release() {
  const auto place = ordered_place();
  if (!place || !expect(",")) return;
  const Span register_span = peek().span;
  const auto src = any_register();
  if (!src || !expect(")")) return;
  if (src->half && place->width == Width::kDouble)
    return complain("a store of 8 bytes needs a 64-bit register", register_span, "write 'r' for 'w'");
  assembler_.store_release(place->width, place->memory.base, src->reg, place->memory.offset);
}

void TextParser::may_goto() {
  next();
  const auto to = target();
  if (!to) return;
  if (to->label() == nullptr && (to->distance() < INT16_MIN || to->distance() > INT16_MAX))
    return complain("the distance does not fit into 16 bits", *target_span_);
  assembler_.may_goto(*to);
}

void TextParser::cast_address(RegisterWord dst) {
  if (dst.half)
    return complain("an address needs a 64-bit register", words_[statement_start_].span, "write 'r' for 'w'");
  next();
  if (!expect("(")) return;
  const auto src = full_register();
  if (!src || !expect(",")) return;
  address_spaces(dst.reg, *src);
  if (!error_) expect(")");
}

// 0, 1
void TextParser::address_spaces(Register dst, Register src) {
  const auto to = address_space();
  if (!to || !expect(",")) return;
  if (const auto from = address_space()) assembler_.address_space_cast(dst, src, *to, *from);
}

std::optional<std::uint16_t> TextParser::address_space() {
  const Span span = peek().span;
  const auto number = integer();
  if (!number) return std::nullopt;
  if (*number < 0 || *number > UINT16_MAX) {
    complain("an address space is a number from 0 to 65535", span, "0 is the kernel's, 1 that of arenas");
    return std::nullopt;
  }
  return static_cast<std::uint16_t>(*number);
}

}  // namespace weir::ebpf
