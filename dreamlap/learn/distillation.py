"""Distillation: a linear C, the student, is fitted to the actions of another C by least squares, in states that it reaches.

Ross, Gordon & Bagnell (2011), *A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning*
(DAgger).
"""

import torch

from dreamlap.control import ActorCritic, Linear
from dreamlap.mind.interface import Mind
from dreamlap.progress import meter
from dreamlap.seeds import derive, generator

PASSES = 4
"""The teacher leads the first, the student the others."""
STEPS = 120
"""Steps of each mind a pass."""
NOISE = 0.2
"""Standard deviation of the noise on the leader's actions: it shows what is done about mistakes."""
RIDGE = 1.0
"""Added to the diagonal of the normal equations: what was hardly ever seen gets no large weight."""
FULL = 0.97
"""Where a wish counts as a full one: atanh(1) is infinite."""


@torch.no_grad()
def distill(student: Linear, teacher: ActorCritic | Linear, mind: Mind, seed: int) -> None:
    """Set the weights of `student` in place: the ridge regression of atanh(the teacher's action) on [z, h]."""
    biased, leader = student.layer.bias is not None, teacher
    size, chance = student.inputs + biased, generator(seed, "imitate", device=mind.device)
    gram = RIDGE * torch.eye(size, dtype=torch.float64)  # on the CPU: not every device knows such numbers
    moment = gram.new_zeros(size, mind.action_size)
    with meter("C is distilled", PASSES) as bar:
        for number in bar.over(range(PASSES)):
            observation = mind.reset([derive(seed, "imitate", number, i) for i in range(mind.num_envs)])
            for _ in range(STEPS):
                seen = observation[:, : student.inputs].cpu().double()
                seen = torch.cat([seen, seen.new_ones(len(seen), 1)], -1) if biased else seen
                gram += seen.T @ seen
                moment += seen.T @ teacher.act(observation).clamp(-FULL, FULL).cpu().double().atanh()
                action = leader.act(observation)
                noise = torch.randn(action.shape, generator=chance, device=mind.device)
                observation = mind.step(action + NOISE * noise).observation
            solution = torch.linalg.solve(gram, moment).float().T
            student.layer.weight.copy_(solution[:, : student.inputs])
            if biased:
                student.layer.bias.copy_(solution[:, -1])
            leader = student
