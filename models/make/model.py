"""Qwen3-Next in plain PyTorch, for training: the whole sequence at once, no caches.

The module tree carries the checkpoint's names. Three things differ from the reference implementation, none in what is
computed: the delta rule's chunks are joined by a parallel scan instead of a loop; every expert sees every token and the
router's weights (zero outside the top-k) scale its inner activations; the MTP layer is here. test_model.py compares
the logits with Hugging Face's Qwen3NextForCausalLM.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

CHUNK = 32


class RMSNorm(nn.Module):
    """Zero-centred: the checkpoint stores w - 1."""

    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], None, self.eps) * (1 + self.weight)


class Linear(nn.Linear):
    """No bias; computes in `dtype`, whatever the master weights are."""

    dtype = torch.float32

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x):
        return F.linear(x.to(Linear.dtype), self.weight.to(Linear.dtype))


def split_chunks(x):
    """[B, L, heads, ...] -> [B, heads, L / CHUNK, CHUNK, ...]"""
    return x.transpose(1, 2).unflatten(2, (-1, CHUNK))


class UnitLowerInverse(torch.autograd.Function):
    """(I + N)^-1 for strictly lower N [..., C, C]."""

    @staticmethod
    def forward(ctx, n):
        eye = torch.eye(n.shape[-1], device=n.device, dtype=n.dtype).expand_as(n)
        inverse = torch.linalg.solve_triangular(n, eye, upper=False, unitriangular=True)
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    def backward(ctx, grad):
        (inverse,) = ctx.saved_tensors
        transposed = inverse.transpose(-1, -2)
        return -(transposed @ grad @ transposed).tril(-1)


def scan_states(a, b):
    """States before each chunk for S <- a S + b, S = 0 at first; a, b [..., chunks, D, D]. Hillis-Steele."""
    chunks, step = a.shape[-3], 1
    while step < chunks:
        a_low, a_high, b_low = a[..., :-step, :, :], a[..., step:, :, :], b[..., :-step, :, :]
        b = torch.cat([b[..., :step, :, :], b[..., step:, :, :] + a_high @ b_low], -3)
        a = torch.cat([a[..., :step, :, :], a_high @ a_low], -3)
        step *= 2
    return F.pad(b[..., :-1, :, :], (0, 0, 0, 0, 1, 0))


def gated_delta_rule(q, k, v, log_decay, beta):
    """S <- e^g S; d = beta (v - S k); S <- S + d k^T; o = S q.  q, k [B, L, heads, Dk], v [B, L, heads, Dv]."""
    length, pad = q.shape[1], -q.shape[1] % CHUNK
    q, k, v = (F.pad(x, (0, 0, 0, 0, 0, pad)) for x in (q, k, v))
    log_decay, beta = (F.pad(x, (0, 0, 0, pad)) for x in (log_decay, beta))
    q, k, v, log_decay, beta = (split_chunks(x) for x in (q, k, v, log_decay, beta))

    decay = log_decay.cumsum(-1)
    lower = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=q.device).tril()
    pairwise = (decay[..., :, None] - decay[..., None, :]).masked_fill(~lower, -math.inf).exp()
    k_beta = k * beta[..., None]
    inverse = UnitLowerInverse.apply(((k_beta @ k.transpose(-1, -2)) * pairwise).tril(-1))
    new_values = inverse @ (v * beta[..., None])
    k_read = inverse @ (k_beta * decay.exp()[..., None])

    whole = decay[..., -1:]
    k_write = (k * (whole - decay).exp()[..., None]).transpose(-1, -2)
    eye = torch.eye(k.shape[-1], device=q.device, dtype=q.dtype)
    states = scan_states(whole.exp()[..., None] * eye - k_write @ k_read, k_write @ new_values)

    new_values = new_values - k_read @ states
    out = (q * decay.exp()[..., None]) @ states + ((q @ k.transpose(-1, -2)) * pairwise) @ new_values
    return out.flatten(2, 3).transpose(1, 2)[:, :length]


class GatedDeltaNet(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.key_heads, self.value_heads = c["linear_num_key_heads"], c["linear_num_value_heads"]
        self.key_dim, self.value_dim = c["linear_key_head_dim"], c["linear_value_head_dim"]
        self.eps = c["rms_norm_eps"]
        keys, values = self.key_heads * self.key_dim, self.value_heads * self.value_dim
        self.in_proj_qkvz = Linear(c["hidden_size"], 2 * keys + 2 * values)
        self.in_proj_ba = Linear(c["hidden_size"], 2 * self.value_heads)
        kernel = c["linear_conv_kernel_dim"]
        self.conv1d = nn.Conv1d(2 * keys + values, 2 * keys + values, kernel, groups=2 * keys + values, bias=False)
        self.A_log = nn.Parameter(torch.empty(self.value_heads).uniform_(0.01, 16).log())
        self.dt_bias = nn.Parameter(torch.ones(self.value_heads))
        self.norm = nn.Module()
        self.norm.weight = nn.Parameter(torch.ones(self.value_dim))
        self.out_proj = Linear(values, c["hidden_size"])

    def project(self, x):
        """De-interleaves the groups: q, k, v flat for the convolution; z, b, a by value head."""
        ratio = self.value_heads // self.key_heads
        qkvz = self.in_proj_qkvz(x).unflatten(-1, (self.key_heads, -1))
        sizes = [self.key_dim, self.key_dim, ratio * self.value_dim, ratio * self.value_dim]
        q, k, v, z = qkvz.split(sizes, -1)
        b, a = self.in_proj_ba(x).unflatten(-1, (self.key_heads, -1)).split([ratio, ratio], -1)
        mixed = torch.cat([q.flatten(2), k.flatten(2), v.flatten(2)], -1)
        return mixed, z.reshape(*x.shape[:2], self.value_heads, -1), b.flatten(2).float(), a.flatten(2).float()

    def convolve(self, x):
        """Causal depthwise convolution as shifted sums, then SiLU."""
        kernel, length = self.conv1d.weight.shape[-1], x.shape[1]
        padded = F.pad(x.float(), (0, 0, kernel - 1, 0))
        weight = self.conv1d.weight[:, 0]
        return F.silu(sum(padded[:, i:i + length] * weight[:, i] for i in range(kernel)))

    def heads(self, x, dim):
        x = x.unflatten(-1, (self.key_heads, dim))
        x = x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)
        return x.repeat_interleave(self.value_heads // self.key_heads, 2)

    def forward(self, x):
        mixed, z, b, a = self.project(x)
        keys = self.key_heads * self.key_dim
        q, k, v = self.convolve(mixed).split([keys, keys, mixed.shape[-1] - 2 * keys], -1)
        q, k = self.heads(q, self.key_dim) * self.key_dim**-0.5, self.heads(k, self.key_dim)
        v = v.unflatten(-1, (self.value_heads, self.value_dim))
        log_decay = -self.A_log.exp() * F.softplus(a + self.dt_bias)
        out = gated_delta_rule(q, k, v, log_decay, b.sigmoid())
        out = F.rms_norm(out, out.shape[-1:], None, self.eps) * self.norm.weight * F.silu(z.float())
        return self.out_proj(out.flatten(2))


def rope_tables(c, length, device):
    rope = c["rope_parameters"]
    dims = int(c["head_dim"] * rope["partial_rotary_factor"])
    frequency = rope["rope_theta"] ** (-torch.arange(0, dims, 2, device=device).float() / dims)
    angle = torch.arange(length, device=device)[:, None] * frequency
    return angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)


def rotate(x, cos, sin):
    """NeoX RoPE on the first dims of x [B, heads, L, D]."""
    turned, kept = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], -1)
    left, right = turned.chunk(2, -1)
    return torch.cat([turned * cos + torch.cat([-right, left], -1) * sin, kept], -1)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        self.q_proj = Linear(c["hidden_size"], 2 * self.heads * self.dim)
        self.k_proj = Linear(c["hidden_size"], self.kv_heads * self.dim)
        self.v_proj = Linear(c["hidden_size"], self.kv_heads * self.dim)
        self.o_proj = Linear(self.heads * self.dim, c["hidden_size"])
        self.q_norm, self.k_norm = RMSNorm(self.dim, c["rms_norm_eps"]), RMSNorm(self.dim, c["rms_norm_eps"])

    def forward(self, x, rope):
        q, gate = self.q_proj(x).unflatten(-1, (self.heads, -1)).chunk(2, -1)
        k, v = self.k_proj(x).unflatten(-1, (-1, self.dim)), self.v_proj(x).unflatten(-1, (-1, self.dim))
        q = rotate(self.q_norm(q).transpose(1, 2), *rope).to(v.dtype)
        k = rotate(self.k_norm(k).transpose(1, 2), *rope).to(v.dtype)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v.transpose(1, 2)))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        return self.o_proj((out * gate.sigmoid()).flatten(2))


class SharedExpert(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj, self.up_proj = Linear(hidden, width), Linear(hidden, width)
        self.down_proj = Linear(width, hidden)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    """All experts' matrices, [E, F, H] each; `down` is the transpose of the checkpoint's."""

    def __init__(self, experts, hidden, width):
        super().__init__()
        self.gate, self.up, self.down = (nn.Parameter(torch.empty(experts, width, hidden)) for _ in range(3))

    def forward(self, x, weights):
        gate, up, down = (w.flatten(0, 1).to(Linear.dtype) for w in (self.gate, self.up, self.down))
        x = x.to(Linear.dtype)
        inner = (F.silu(F.linear(x, gate)) * F.linear(x, up)).unflatten(-1, (weights.shape[-1], -1))
        return (inner * weights[..., None].to(Linear.dtype)).flatten(-2) @ down


class MoE(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden = c["hidden_size"]
        self.top_k = c["num_experts_per_tok"]
        self.gate = nn.Linear(hidden, c["num_experts"], bias=False)
        self.experts = Experts(c["num_experts"], hidden, c["moe_intermediate_size"])
        self.shared_expert = SharedExpert(hidden, c["shared_expert_intermediate_size"])
        self.shared_expert_gate = Linear(hidden, 1)

    def forward(self, x):
        """(output, load-balance loss)"""
        probs = self.gate(x).softmax(-1)
        threshold = probs.topk(self.top_k, -1).values[..., -1:]
        chosen = (probs >= threshold).float()
        weights = probs * chosen
        weights = weights / weights.sum(-1, keepdim=True)
        out = self.experts(x, weights) + self.shared_expert_gate(x).sigmoid() * self.shared_expert(x)
        share, mean = chosen.mean((0, 1)) / self.top_k, probs.mean((0, 1))
        return out, probs.shape[-1] * (share * mean).sum()


class Layer(nn.Module):
    def __init__(self, c, full_attention):
        super().__init__()
        self.full_attention = full_attention
        if full_attention:
            self.self_attn = Attention(c)
        else:
            self.linear_attn = GatedDeltaNet(c)
        self.input_layernorm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.post_attention_layernorm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = MoE(c)

    def forward(self, h, rope):
        x = self.input_layernorm(h)
        h = h + (self.self_attn(x, rope) if self.full_attention else self.linear_attn(x)).float()
        out, balance = self.mlp(self.post_attention_layernorm(h))
        return h + out.float(), balance


class MTP(nn.Module):
    """x_i = fc([norm(emb(t_i+1)); norm(h_i)]) -> one layer -> norm; the head is the model's."""

    def __init__(self, c):
        super().__init__()
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        self.fc = Linear(2 * hidden, hidden)
        self.pre_fc_norm_embedding, self.pre_fc_norm_hidden = RMSNorm(hidden, eps), RMSNorm(hidden, eps)
        self.layers = nn.ModuleList([Layer(c, full_attention=True)])
        self.norm = RMSNorm(hidden, eps)

    def forward(self, next_embedding, h, rope):
        x = self.fc(torch.cat([self.pre_fc_norm_embedding(next_embedding), self.pre_fc_norm_hidden(h)], -1))
        x, balance = self.layers[0](x.float(), rope)
        return self.norm(x), balance


class Qwen3Next(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        full = [kind == "full_attention" for kind in c["layer_types"]]
        self.model.layers = nn.ModuleList([Layer(c, f) for f in full])
        self.model.norm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.lm_head = Linear(c["hidden_size"], c["vocab_size"])
        self.mtp = MTP(c)
        self.initialise()

    def initialise(self):
        """Normal, 0.02; the projections back into the residual stream smaller by its depth."""
        depth = math.sqrt(2 * len(self.model.layers))
        for name, p in self.named_parameters():
            if p.dim() >= 2 and "conv1d" not in name:
                back = any(s in name for s in ("out_proj", "o_proj", "experts.down", "down_proj"))
                nn.init.normal_(p, std=0.02 / depth if back else 0.02)

    def forward(self, tokens):
        """tokens [B, L] -> (hidden after the final norm, the MTP layer's, load-balance loss); both [B, L, H].

        The MTP hidden at i has seen token i + 1 and predicts i + 2; the last one of a row is not meant for use.
        """
        rope = rope_tables(self.config, tokens.shape[1], tokens.device)
        embedded = self.model.embed_tokens(tokens)
        h, balance = embedded, 0.0
        for layer in self.model.layers:
            h, layer_balance = layer(h, rope)
            balance = balance + layer_balance
        h = self.model.norm(h)
        ahead, layer_balance = self.mtp(embedded.roll(-1, 1), h, rope)
        return h, ahead, balance + layer_balance
