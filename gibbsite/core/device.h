// What the process asks of its devices.
#pragma once

namespace gibbsite {

/// From now on convolutions on CUDA keep every bit of float32 and sum in the same order at every call. LibTorch's own
/// defaults round their inputs to 10 bits of mantissa (TF32), which spoils finite differences and the promise that
/// derivatives are exact, and allow sums whose order changes from run to run.
void use_exact_cuda();

/// Products and convolutions of float32 numbers on CUDA round their factors to 10 bits of mantissa (TF32), where the device is
/// faster so. What is exact, jets for one, is no more.
void use_tf32_on_cuda();

/// Returns when the work handed to CUDA devices so far is done; at once where there are none.
void wait_for_cuda();

}  // namespace gibbsite
