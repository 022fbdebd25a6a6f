"""A stand-in for NVIDIA apex, for tests on machines without a GPU: its classes, signatures and manners, and no kernel.

Written for these tests from the behaviour of https://github.com/NVIDIA/apex at 6424da3b; none of its code is here.
Kept of the original: where classes lie, what their constructors take, that steps are counted by group, that
`zero_grad` takes no argument, that FusedLAMB clips the gradient's norm to 1 unless told otherwise and leaves what does
not decay unscaled, that FusedDense wants rows, and which extension module each class stands on. Not kept: CUDA. The
extension modules are stand-ins, too, and compute with torch on any device.

`tests.train.backends.apex_installs` copies this folder to `apex` on a search path of its own.
"""

from . import normalization as normalization
from . import optimizers as optimizers
