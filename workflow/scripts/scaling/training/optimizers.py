"""The optimizers: torch's own."""

import torch
from torch.optim.adam import adam


class Adam:
    """torch's fused Adam, in its functional form.

    The class torch.optim.Adam imports torch's compiler when it is made, which takes a second of every job.
    """

    def __init__(self, parameters, *, betas, epsilon):
        self.parameters = list(parameters)
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros((), dtype=torch.float32) for _ in self.parameters]
        self.betas, self.epsilon = betas, epsilon

    @torch.no_grad()
    def step(self, learning_rate):
        """Update the parameters from their gradients, and forget those."""
        adam(
            self.parameters,
            [p.grad for p in self.parameters],
            self.first,
            self.second,
            max_exp_avg_sqs=[],
            state_steps=self.steps,
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=learning_rate,
            weight_decay=0.0,
            eps=self.epsilon,
            maximize=False,
        )
        for p in self.parameters:
            p.grad = None
