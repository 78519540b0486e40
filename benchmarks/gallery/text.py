"""Text: tokens in, classes, vectors or tokens out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gallery.network import Network, Wrapped, image, mask, sequence, tokens

FIELD = "text"
LENGTH, WORDS = 16, 60
SMALL = {
    "vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
}  # fmt: skip


class TextCnn(nn.Module):
    """Kim's convolutional sentence classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 16)
        self.layers = nn.ModuleList(nn.Conv1d(16, 12, kernel) for kernel in (2, 3, 4))
        self.last = nn.Linear(36, 3)

    def forward(self, ids: Tensor) -> Tensor:
        """(n, t) to (n, 3)."""
        x = self.words(ids).transpose(1, 2)
        return self.last(torch.cat([torch.relu(layer(x)).amax(2) for layer in self.layers], 1))


class BagOfWords(nn.Module):
    """FastText: the mean of embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(WORDS, 16), nn.Linear(16, 4)

    def forward(self, ids: Tensor) -> Tensor:
        """(n, t) to (n, 4)."""
        return self.last(self.words(ids).mean(1))


class LanguageModel(nn.Module):
    """An LSTM language model over characters."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.rnn, self.last = (
            nn.Embedding(WORDS, 16),
            nn.LSTM(16, 24, batch_first=True),
            nn.Linear(24, WORDS),
        )

    def forward(self, ids: Tensor) -> Tensor:
        """(n, t) to scores (n, t, words)."""
        return self.last(self.rnn(self.words(ids))[0])


class Encoder(nn.Module):
    """PyTorch's own transformer encoder over embeddings."""

    def __init__(self, *, first: bool = False) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=first, dropout=0.0)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, 32) to the same shape."""
        return self.layers(x)


class Causal(nn.Module):
    """A small GPT written by hand: fused projection, `scaled_dot_product_attention(is_causal=True)`."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, width), nn.Parameter(0.5 * torch.randn(LENGTH, width))
        self.norm_a, self.qkv, self.project = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm_b = nn.LayerNorm(width)
        self.forward_b = nn.Sequential(nn.Linear(width, 64), nn.GELU(approximate="tanh"), nn.Linear(64, width))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, WORDS, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """(n, t) to scores (n, t, words)."""
        x = self.words(ids) + self.places
        n, t, width = x.shape
        q, k, v = (p.view(n, t, 4, -1).transpose(1, 2) for p in self.qkv(self.norm_a(x)).split(width, 2))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(y.transpose(1, 2).reshape(n, t, width))
        return self.last(self.norm(x + self.forward_b(self.norm_b(x))))


class Retention(nn.Module):
    """Linear attention with a causal sum over time."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, 16) to the same shape."""
        q, k = nn.functional.elu(self.q(x)) + 1, nn.functional.elu(self.k(x)) + 1
        memory = torch.cumsum(k[..., :, None] * self.v(x)[..., None, :], 1)
        weight = torch.cumsum(k, 1)
        return torch.einsum("btk,btkv->btv", q, memory) / torch.einsum("btk,btk->bt", q, weight)[..., None]


def huggingface(name: str, pick: str, *, masked: bool = False, **choices: Any) -> Callable[[], nn.Module]:
    """Return a function that makes a transformers network from the name of its model, without its suffix.

    Args:
        name: of the model's class.
        pick: the field of its result.
        masked: whether it takes an attention mask too.
        choices: of its configuration.
    """

    def build() -> nn.Module:
        import transformers

        kind = getattr(transformers, name)
        config = kind.config_class(**choices)
        config._attn_implementation = "eager" if masked or not kind._supports_sdpa else "sdpa"

        def call(module: nn.Module, ids: Tensor, given: Tensor | None = None) -> Tensor:
            return getattr(module(input_ids=ids, attention_mask=given), pick)

        return Wrapped(kind(config), call)

    return build


def _huggingface(name: str, kind: str, pick: str, *, masked: bool = False, **choices: Any) -> Network:
    inputs = [tokens(LENGTH, WORDS), mask(LENGTH)] if masked else [tokens(LENGTH, WORDS)]
    return Network(name, FIELD, huggingface(kind, pick, masked=masked, **choices), inputs, "transformers")


def _t5() -> nn.Module:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=WORDS, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    return Wrapped(T5EncoderModel(config), lambda module, ids: module(input_ids=ids).last_hidden_state)


def _clip_vision() -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                              image_size=32, patch_size=8)  # fmt: skip
    return Wrapped(CLIPVisionModel(config), lambda module, x: module(pixel_values=x).pooler_output)


POSITIONS = {"max_position_embeddings": 32}
GPT2 = {"vocab_size": WORDS, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 32}
LLAMA = SMALL | POSITIONS | {"num_key_value_heads": 1, "use_cache": False}
NETWORKS = [
    Network("text_cnn", FIELD, TextCnn, [tokens(LENGTH, WORDS)]),
    Network("bag_of_words", FIELD, BagOfWords, [tokens(LENGTH, WORDS)]),
    Network("lstm_language_model", FIELD, LanguageModel, [tokens(LENGTH, WORDS)]),
    Network("transformer_encoder", FIELD, Encoder, [sequence(LENGTH, 32)]),
    Network("transformer_encoder_norm_first", FIELD, lambda: Encoder(first=True), [sequence(LENGTH, 32)]),
    Network("gpt_by_hand", FIELD, Causal, [tokens(LENGTH, WORDS)]),
    Network("linear_attention", FIELD, Retention, [sequence(LENGTH, 16)]),
    _huggingface("bert", "BertForSequenceClassification", "logits", **SMALL, **POSITIONS),
    _huggingface("bert_masked", "BertForSequenceClassification", "logits", masked=True, **SMALL, **POSITIONS),
    _huggingface("distilbert_masked", "DistilBertModel", "last_hidden_state", masked=True, vocab_size=WORDS, dim=32,
                 hidden_dim=64, n_layers=2, n_heads=2, max_position_embeddings=32),
    _huggingface("roberta", "RobertaModel", "last_hidden_state", **SMALL, **POSITIONS),
    _huggingface("albert", "AlbertModel", "last_hidden_state", embedding_size=16, **SMALL, **POSITIONS),
    _huggingface("electra", "ElectraModel", "last_hidden_state", embedding_size=16, **SMALL, **POSITIONS),
    _huggingface("mobilebert", "MobileBertModel", "last_hidden_state", intra_bottleneck_size=16, embedding_size=16,
                 **SMALL, **POSITIONS),
    _huggingface("gpt2", "GPT2LMHeadModel", "logits", use_cache=False, bos_token_id=0, eos_token_id=0, **GPT2),
    _huggingface("llama", "LlamaForCausalLM", "logits", **LLAMA),
    _huggingface("qwen2", "Qwen2ForCausalLM", "logits", **LLAMA),
    _huggingface("opt", "OPTForCausalLM", "logits", vocab_size=WORDS, hidden_size=32, num_hidden_layers=2,
                 num_attention_heads=2, ffn_dim=64, word_embed_proj_dim=32, use_cache=False, **POSITIONS),
    _huggingface("fnet", "FNetModel", "last_hidden_state", **SMALL, **POSITIONS),
    Network("t5_encoder", FIELD, _t5, [tokens(LENGTH, WORDS)], "transformers"),
    Network("clip_vision", FIELD, _clip_vision, [image(32)], "transformers"),
]  # fmt: skip
