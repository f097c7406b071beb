"""Batch norm over the batches of all processes in distributed training. torch's `nn.SyncBatchNorm` does not support CPUs."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(_BatchNorm):
    """Batch norm that in training computes its statistics over all processes. x is (N, C, *spatial); N may be 0."""

    def _check_input_dim(self, x: Tensor) -> None:
        assert x.ndim >= 2

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        from resnets.models.nn.joint import sync_batch_norm

        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = 1.0 / float(self.num_batches_tracked) if momentum is None else momentum
        return sync_batch_norm(
            x,
            self.weight,
            self.bias,
            running_mean=self.running_mean,
            running_var=self.running_var,
            momentum=momentum or 0.0,
            eps=self.eps,
        )


def synchronised(norm: _BatchNorm) -> SyncBatchNorm:
    """A `SyncBatchNorm` that shares the parameters and running statistics of `norm`."""
    made = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
    made.weight, made.bias, made.training = norm.weight, norm.bias, norm.training
    made.running_mean, made.running_var = norm.running_mean, norm.running_var
    made.num_batches_tracked = norm.num_batches_tracked
    return made


def synchronise(module: nn.Module) -> None:
    """Replace the batch norms inside `module` by `SyncBatchNorm`, in place. The state dict does not change."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, synchronised(child))
        else:
            synchronise(child)
