"""Speech: recognition, keywords, voice activity, speakers, synthesis."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gallery.network import Network, Wrapped, image, numbers, sequence, wave

FIELD = "speech"


class MatchboxNet(nn.Module):
    """MatchboxNet and QuartzNet: depthwise 1-D convolutions, batch norm, a residual by 1 x 1."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(32, 24, 11, 2, 5, bias=False), nn.BatchNorm1d(24), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv1d(24, 24, 13, padding=6, groups=24, bias=False),
            nn.Conv1d(24, 24, 1, bias=False),
            nn.BatchNorm1d(24),
            nn.ReLU(),
            nn.Conv1d(24, 24, 13, padding=6, groups=24, bias=False),
            nn.Conv1d(24, 24, 1, bias=False),
            nn.BatchNorm1d(24),
        )
        self.skip = nn.Sequential(nn.Conv1d(24, 24, 1, bias=False), nn.BatchNorm1d(24))
        self.last = nn.Conv1d(24, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 32, t) to (n, 12)."""
        x = self.first(x)
        return self.last(torch.relu(self.block(x) + self.skip(x))).mean(2)


class DeepSpeech(nn.Module):
    """Deep Speech 2: convolutions, bidirectional GRU layers, characters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, (11, 5), (2, 2), (5, 2)), nn.BatchNorm2d(8), nn.Hardtanh(0, 20))
        self.rnn = nn.GRU(8 * 16, 16, 2, bidirectional=True)
        self.last = nn.Linear(32, 20)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 32, t) to log-probabilities (t / 2, n, 20)."""
        y = self.conv(x)
        y = y.flatten(1, 2).permute(2, 0, 1)
        return torch.log_softmax(self.last(self.rnn(y)[0]), -1)


class Tdnn(nn.Module):
    """An x-vector network: dilated convolutions, mean and deviation over time."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = nn.Sequential(
            nn.Conv1d(24, 32, 5),
            nn.ReLU(),
            nn.BatchNorm1d(32),
            nn.Conv1d(32, 32, 3, dilation=2),
            nn.ReLU(),
            nn.BatchNorm1d(32),
        )
        self.last = nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 24, t) to an embedding of length 1, (n, 16)."""
        y = self.frames(x)
        y = torch.cat([y.mean(2), y.std(2)], 1)
        return nn.functional.normalize(self.last(y), dim=1)


class EcapaBlock(nn.Module):
    """ECAPA-TDNN's attentive statistics pooling with squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(24, 32, 5, padding=2), nn.ReLU(), nn.BatchNorm1d(32))
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool1d(1), nn.Conv1d(32, 8, 1), nn.ReLU(), nn.Conv1d(8, 32, 1), nn.Sigmoid()
        )
        self.attend = nn.Sequential(nn.Conv1d(32, 8, 1), nn.Tanh(), nn.Conv1d(8, 32, 1), nn.Softmax(2))
        self.last = nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 24, t) to (n, 16)."""
        y = self.first(x)
        y = y * self.squeeze(y)
        weight = self.attend(y)
        mean = (weight * y).sum(2)
        deviation = ((weight * y * y).sum(2) - mean * mean).clamp(min=1e-4).sqrt()
        return self.last(torch.cat([mean, deviation], 1))


class VoiceActivity(nn.Module):
    """A frame of voice activity: one LSTM step with its state as input and output."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(1, 16, 32, 16), nn.ReLU(), nn.Conv1d(16, 16, 3, 2, 1), nn.ReLU())
        self.cell, self.last = nn.LSTMCell(16, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 1, 256) and the state to a probability and the state."""
        hidden, cell = self.cell(self.features(x).mean(2), (hidden, cell))
        return torch.sigmoid(self.last(torch.relu(hidden))), hidden, cell


class NoiseSuppressor(nn.Module):
    """RNNoise: GRUs that give the gain of each band."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rnn, self.last = nn.Linear(20, 16), nn.GRU(16, 24, batch_first=True), nn.Linear(24, 20)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, 20) to (n, t, 20)."""
        return torch.sigmoid(self.last(self.rnn(torch.tanh(self.first(x)))[0]))


class HifiGan(nn.Module):
    """HiFi-GAN's generator: transposed convolutions and residual blocks of several dilations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(20, 16, 7, padding=3), nn.Conv1d(8, 1, 7, padding=3)
        self.up = nn.ConvTranspose1d(16, 8, 8, 4, 2)
        self.blocks = nn.ModuleList(nn.Conv1d(8, 8, 3, dilation=d, padding=d) for d in (1, 3, 5))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 20, t) to (n, 1, 4 t)."""
        y = self.up(nn.functional.leaky_relu(self.first(x), 0.1))
        total = y
        for block in self.blocks:
            total = total + block(nn.functional.leaky_relu(y, 0.1))
        return torch.tanh(self.last(nn.functional.leaky_relu(total / 3)))


class Conformer(nn.Module):
    """A Conformer block: half-step feed-forward, attention, gated depthwise convolution."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.forward_a = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, width))
        self.norm_a, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm_c = nn.LayerNorm(width)
        self.conv = nn.Sequential(
            nn.Conv1d(width, 2 * width, 1),
            nn.GLU(1),
            nn.Conv1d(width, width, 7, padding=3, groups=width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Conv1d(width, width, 1),
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, 32) to the same shape."""
        x = x + 0.5 * self.forward_a(x)
        y = self.norm_a(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.conv(self.norm_c(x).transpose(1, 2)).transpose(1, 2)
        return self.norm(x)


def _whisper_encoder() -> nn.Module:
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(
        num_mel_bins=16, d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=32, vocab_size=50,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return Wrapped(WhisperModel(config).encoder, lambda module, x: module(x).last_hidden_state)


def _wav2vec2() -> nn.Module:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=(16, 16),
        conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4, vocab_size=20,
    )  # fmt: skip
    return Wrapped(Wav2Vec2ForCTC(config), lambda module, x: module(x[:, 0]).logits)


NETWORKS = [
    Network("matchbox_net", FIELD, MatchboxNet, [wave(64, 32)]),
    Network("deep_speech", FIELD, DeepSpeech, [image((32, 32), 1)]),
    Network("x_vector", FIELD, Tdnn, [wave(48, 24)]),
    Network("ecapa_block", FIELD, EcapaBlock, [wave(48, 24)]),
    Network("voice_activity_step", FIELD, VoiceActivity, [wave(256), numbers(16), numbers(16)]),
    Network("noise_suppressor", FIELD, NoiseSuppressor, [sequence(16, 20)]),
    Network("hifi_gan", FIELD, HifiGan, [wave(24, 20)]),
    Network("conformer", FIELD, Conformer, [sequence(24, 32)]),
    Network("whisper_encoder", FIELD, _whisper_encoder, [wave(64, 16)], "transformers"),
    Network("wav2vec2", FIELD, _wav2vec2, [wave(512)], "transformers"),
]
