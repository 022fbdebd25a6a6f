"""A stand-in for NVIDIA apex, for tests on machines without a GPU: its classes, signatures and behaviour.

Written for these tests from the behaviour of https://github.com/NVIDIA/apex at 6424da3b; none of its code is here.
Like the original: the modules of classes, the arguments of their constructors, steps counted per group, `zero_grad`
without arguments, FusedLAMB, which by default clips the gradient's norm to 1 and does not scale parameters without
weight decay, FusedDense, which requires a matrix, and the extension module of each class. Unlike it: the extension
modules are also stand-ins, which compute with torch on any device.

`tests.train.backends.apex_installs` copies this folder to `apex` in a separate folder on the search path.
"""

from . import normalization as normalization
from . import optimizers as optimizers
