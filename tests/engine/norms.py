"""Under torchrun: our batch norm over processes, each with a part of a batch, beside torch's over the whole of it.

Writes to $RESULT.RANK what differs more than by rounding; nothing is left there where all is as it should be.
"""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from resnets.models.nn.sync import SyncBatchNorm, synchronise

# Pictures of each of two processes, spatial size, and how they lie in memory.
CASES = [
    ((3, 5), (4, 6), torch.contiguous_format),
    ((4, 4), (3, 3), torch.channels_last),
    ((0, 6), (2, 2), torch.contiguous_format),
    ((2, 1), (1, 1), torch.contiguous_format),
]
ROUNDING = {"output": 5e-5, "running_mean": 2e-5, "running_var": 2e-5}  # the gradients' is more: a sum of x near 100


def differences(rank, sizes, spatial, memory, momentum):
    torch.manual_seed(1)
    whole = nn.BatchNorm2d(5, momentum=momentum).double()
    nn.init.uniform_(whole.weight)
    nn.init.normal_(whole.bias)
    holder = nn.Sequential(nn.BatchNorm2d(5, momentum=momentum))
    holder[0].load_state_dict(whole.state_dict())
    names = list(holder.state_dict())
    synchronise(holder)
    assert isinstance(holder[0], SyncBatchNorm) and list(holder.state_dict()) == names
    own = slice(0, sizes[0]) if rank == 0 else slice(sizes[0], sum(sizes))
    for _ in range(2):
        # Far from zero, where a difference of mean squares would have lost its digits.
        x = (torch.randn(sum(sizes), 5, *spatial) + 100).contiguous(memory_format=memory)
        grad = torch.randn_like(x)
        part = x[own].detach().clone(memory_format=memory)
        x.requires_grad_(), part.requires_grad_(), whole.zero_grad(), holder.zero_grad()
        y, z = whole(x.double()), holder(part)
        y.backward(grad.double())
        z.backward(grad[own])
        for parameter in holder.parameters():
            dist.all_reduce(parameter.grad)
        pairs = {"output": (y[own], z), "input": (x.grad[own], part.grad)}
        pairs |= {name: (getattr(whole, name).grad, getattr(holder[0], name).grad) for name in ("weight", "bias")}
        pairs |= {name: (buffer, holder[0].get_buffer(name)) for name, buffer in whole.named_buffers()}
        for name, (a, b) in pairs.items():
            if a.shape != b.shape or not torch.allclose(a.float(), b.float(), rtol=1e-4, atol=ROUNDING.get(name, 1e-3)):
                yield f"{sizes} {spatial} {momentum} {name} {(a.float() - b.float()).abs().max() if a.numel() else ''}"
    x = x.detach()
    if not torch.allclose(holder.eval()(x), whole.eval()(x.double()).float(), atol=1e-4):
        yield "evaluation"


def nothing_at_all():
    """No process has a picture: nothing changes."""
    norm = nn.Sequential(nn.BatchNorm2d(5))
    synchronise(norm)
    x = torch.empty(0, 5, 2, 2, requires_grad=True)
    norm(x).sum().backward()
    fine = norm[0].running_mean.eq(0).all() and norm[0].running_var.eq(1).all() and norm[0].weight.grad.eq(0).all()
    return [] if fine and x.grad.shape == x.shape else ["of nothing, something"]


def sixteen_bits(rank):
    """Statistics and running statistics are float32's."""
    torch.manual_seed(2)
    norm = nn.Sequential(nn.BatchNorm2d(5, momentum=1.0))
    synchronise(norm)
    x = torch.randn(4, 5, 3, 3) + 3
    y = norm(x[2 * rank : 2 * rank + 2].bfloat16())
    mean = x.bfloat16().float().mean((0, 2, 3))
    return [] if y.dtype == torch.bfloat16 and torch.allclose(norm[0].running_mean, mean, atol=1e-4) else ["bfloat16"]


def main():
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    found = [text for case in CASES for momentum in (0.1, None) for text in differences(rank, *case, momentum)]
    Path(f"{os.environ['RESULT']}.{rank}").write_text("\n".join(found + nothing_at_all() + sixteen_bits(rank)))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
