// Writers of the two formats.
#pragma once

#include <memory>

#include <weir/capture/sink.h>

#include "capture/output.h"

namespace weir::capture {

std::unique_ptr<Sink> make_pcap_sink(Output output, const SinkOptions& options);
std::unique_ptr<Sink> make_pcapng_sink(Output output);

}  // namespace weir::capture
