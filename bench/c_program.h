// A classic program as C, compiled by clang -O3 and loaded: the yardstick for machine code.
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include <weir/cbpf/program.h>
#include <weir/packet/columns.h>

namespace weir::bench {

using CompiledC = void (*)(const std::uint8_t* base, const std::uint32_t* offsets, const std::uint32_t* lengths,
                           const std::uint32_t* wire_lengths, std::size_t count, std::uint32_t* verdicts);

inline std::string c_instruction(const cbpf::Instruction& i, std::size_t next) {
  using cbpf::Opcode;
  const std::string k = std::to_string(i.k) + "u";
  const auto load = [&](const std::string& at, int size, const char* to) {
    const std::string s = std::to_string(size);
    return "{ unsigned long o = " + at + "; if (o + " + s + " > n) return 0; " + to + " = ld" + s + "(p + o); }\n";
  };
  const auto jump = [&](const std::string& condition) {
    return "if (" + condition + ") goto L" + std::to_string(next + i.jt) + "; else goto L" +
           std::to_string(next + i.jf) + ";\n";
  };
  switch (i.opcode()) {
    case Opcode::kLdImmediate: return "a = " + k + ";\n";
    case Opcode::kLdWordAbsolute: return load(k, 4, "a");
    case Opcode::kLdHalfAbsolute: return load(k, 2, "a");
    case Opcode::kLdByteAbsolute: return load(k, 1, "a");
    case Opcode::kLdWordIndirect: return load("(u32)(x + " + k + ")", 4, "a");
    case Opcode::kLdHalfIndirect: return load("(u32)(x + " + k + ")", 2, "a");
    case Opcode::kLdByteIndirect: return load("(u32)(x + " + k + ")", 1, "a");
    case Opcode::kLdScratch: return "a = m[" + k + "];\n";
    case Opcode::kLdLength: return "a = w;\n";
    case Opcode::kLdxImmediate: return "x = " + k + ";\n";
    case Opcode::kLdxScratch: return "x = m[" + k + "];\n";
    case Opcode::kLdxLength: return "x = w;\n";
    case Opcode::kLdxHeaderLength: return load(k, 1, "x") + "x = (x & 15) << 2;\n";
    case Opcode::kSt: return "m[" + k + "] = a;\n";
    case Opcode::kStx: return "m[" + k + "] = x;\n";
    case Opcode::kAddK: return "a += " + k + ";\n";
    case Opcode::kAddX: return "a += x;\n";
    case Opcode::kSubK: return "a -= " + k + ";\n";
    case Opcode::kSubX: return "a -= x;\n";
    case Opcode::kMulK: return "a *= " + k + ";\n";
    case Opcode::kMulX: return "a *= x;\n";
    case Opcode::kDivK: return "a /= " + k + ";\n";
    case Opcode::kDivX: return "if (x == 0) return 0; a /= x;\n";
    case Opcode::kModK: return "a %= " + k + ";\n";
    case Opcode::kModX: return "if (x == 0) return 0; a %= x;\n";
    case Opcode::kAndK: return "a &= " + k + ";\n";
    case Opcode::kAndX: return "a &= x;\n";
    case Opcode::kOrK: return "a |= " + k + ";\n";
    case Opcode::kOrX: return "a |= x;\n";
    case Opcode::kXorK: return "a ^= " + k + ";\n";
    case Opcode::kXorX: return "a ^= x;\n";
    case Opcode::kLshK: return "a <<= " + k + ";\n";
    case Opcode::kLshX: return "a <<= x & 31;\n";
    case Opcode::kRshK: return "a >>= " + k + ";\n";
    case Opcode::kRshX: return "a >>= x & 31;\n";
    case Opcode::kNeg: return "a = -a;\n";
    case Opcode::kJa: return "goto L" + std::to_string(next + i.k) + ";\n";
    case Opcode::kJeqK: return jump("a == " + k);
    case Opcode::kJeqX: return jump("a == x");
    case Opcode::kJgtK: return jump("a > " + k);
    case Opcode::kJgtX: return jump("a > x");
    case Opcode::kJgeK: return jump("a >= " + k);
    case Opcode::kJgeX: return jump("a >= x");
    case Opcode::kJsetK: return jump("a & " + k);
    case Opcode::kJsetX: return jump("a & x");
    case Opcode::kRetK: return "return " + k + ";\n";
    case Opcode::kRetA: return "return a;\n";
    case Opcode::kTax: return "x = a;\n";
    case Opcode::kTxa: return "a = x;\n";
  }
  return "return 0;\n";
}

// The program inlined in its loop over packets. Null when clang is not there.
inline CompiledC compile_c(const cbpf::Program& program) {
  std::string text =
      "typedef unsigned u32; typedef unsigned char u8; typedef unsigned short u16;\n"
      "static inline u32 ld1(const u8 *p) { return *p; }\n"
      "static inline u32 ld2(const u8 *p) { u16 v; __builtin_memcpy(&v, p, 2); return __builtin_bswap16(v); }\n"
      "static inline u32 ld4(const u8 *p) { u32 v; __builtin_memcpy(&v, p, 4); return __builtin_bswap32(v); }\n"
      "static inline __attribute__((always_inline)) u32 filter(const u8 *p, u32 n, u32 w) {\n"
      "u32 a = 0, x = 0, m[16]; (void)m; (void)w; (void)x;\n";
  for (std::size_t i = 0; i < program.size(); ++i)
    text += "L" + std::to_string(i) + ": " + c_instruction(program[i], i + 1);
  text +=
      "}\nvoid weir_filter(const u8 *base, const u32 *offsets, const u32 *lengths, const u32 *wire, unsigned long "
      "count,"
      " u32 *verdicts) {\nfor (unsigned long i = 0; i < count; ++i) verdicts[i] = filter(base + offsets[i], lengths[i],"
      " wire[i]);\n}\n";
  char folder[] = "/tmp/weir-bench-XXXXXX";
  if (::mkdtemp(folder) == nullptr) return nullptr;
  const std::string stem = std::string(folder) + "/program";
  std::FILE* file = std::fopen((stem + ".c").c_str(), "w");
  std::fwrite(text.data(), 1, text.size(), file);
  std::fclose(file);
  const std::string command = "clang -O3 -march=native -w -shared -fPIC -o " + stem + ".so " + stem + ".c";
  CompiledC compiled = nullptr;
  if (std::system(command.c_str()) == 0)
    if (void* library = ::dlopen((stem + ".so").c_str(), RTLD_NOW))
      compiled = reinterpret_cast<CompiledC>(::dlsym(library, "weir_filter"));
  static_cast<void>(std::system(("rm -r " + std::string(folder)).c_str()));
  return compiled;
}

}  // namespace weir::bench
