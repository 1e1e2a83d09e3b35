// Random filter expressions that are mostly well formed: every primitive of pcap-filter(7) that needs no names.
#pragma once

#include <random>
#include <string>

namespace weir::reference {

struct ExpressionOptions {
  int primitives = 3;         // at most
  bool encapsulation = true;  // vlan, mpls, pppoes, geneve
};

std::string random_expression(std::mt19937& random, const ExpressionOptions& options = {});

// `a + 2 * tcp[3]`: with loads of any protocol that can be indexed.
std::string random_arithmetic(std::mt19937& random, int depth);

}  // namespace weir::reference
