"""A linear C is carried over to an M that has learned on: the same actions, by what M remembers now.

M's h means something else whenever M has learned, and a matrix was found for the h of before. An actor that learns by PPO
follows within a few updates; an evolution would have to find its place again. But what h was is nearly a linear function of
what C sees now. It is found by least squares where dreams begin, and with it every C of the search.

Letters: S what C sees, [z, h], and 1 if C has a bias; D weights; A actions.
"""

import torch
from torch import Tensor

from dreamlap.control.linear import Linear

RIDGE = 1e-3
"""Added to the diagonal of the normal equations, for each row and in variances of what C sees: what was hardly ever seen, or
has not changed, stays as it is."""


@torch.no_grad()
def carried(was: Tensor, seen: Tensor, controller: Linear) -> Tensor:
    """What C saw when M remembered `was`, h (N, H), as a linear function of what it sees now, `seen`, [z, h] (N, Z + H): a
    matrix (S, S), so that [z, h, 1] of then is nearly [z, h, 1] of now times that.

    The N moments are all that C will meet: of what they leave out, the function knows nothing, and C would be lost there.
    """
    size = controller.inputs + (controller.layer.bias is not None)
    if controller.inputs == controller.latent:  # C does not see h
        return torch.eye(size)
    seen = torch.cat([seen[:, : controller.inputs], seen.new_ones(len(seen), 1)], 1)[:, :size].cpu().double()
    gram = seen.T @ seen
    gram += RIDGE * len(seen) * torch.diag(seen.var(0, correction=0).clamp(min=1e-6))
    moved = was.cpu().double() - seen[:, controller.latent : controller.inputs]
    change = torch.zeros(size, size, dtype=torch.float64)
    change[:, controller.latent : controller.inputs] = torch.linalg.solve(gram, seen.T @ moved)
    return torch.eye(size) + change.float()


def carry(weights: Tensor, seen: Tensor, controller: Linear) -> Tensor:
    """The weights (..., D) that do with what C sees now as `weights` did with what it saw before; `seen`: of `carried`."""
    actions, inputs = controller.layer.out_features, controller.inputs
    matrix = weights[..., : actions * inputs].unflatten(-1, (actions, inputs))
    if controller.layer.bias is None:
        return (matrix @ seen.T).flatten(-2)
    whole = torch.cat([matrix, weights[..., actions * inputs :, None]], -1) @ seen.T
    return torch.cat([whole[..., :-1].flatten(-2), whole[..., -1]], -1)
