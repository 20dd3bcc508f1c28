// What the libraries below decide once per process, set as suits the work here; and what other processes are called with.
#pragma once

#include <string>

namespace gibbsite {

/// For the first line of main. malloc keeps freed memory (giving it back after every step costs up to an eighth of the
/// step in page faults), and threads that wait sleep: OMP_WAIT_POLICY and GOMP_SPINCOUNT, which libgomp reads when it is
/// loaded, so that the process replaces itself once if the first is not set.
void tune_process(char** argv);

/// The kernels OpenBLAS chose for this processor ("SkylakeX"; OPENBLAS_CORETYPE overrules it), "" without OpenBLAS.
std::string openblas_kernels();

/// One word of a shell's command line, whatever the text holds.
std::string shell_quoted(const std::string& text);

}  // namespace gibbsite
