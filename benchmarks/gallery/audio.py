"""Sounds and other signals over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gallery.network import Network, Wrapped, image, sequence, wave

FIELD = "audio, signals"


class Tcn(nn.Module):
    """A temporal convolutional network: causal, dilated, residual."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, channels, 1)
        self.layers = nn.ModuleList(nn.Conv1d(channels, channels, 3, dilation=2**i, padding=2 * 2**i) for i in range(3))
        self.last = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4, t) to (n, 5)."""
        x = self.first(x)
        for i, layer in enumerate(self.layers):
            x = x + torch.relu(layer(x)[..., : -2 * 2**i])
        return self.last(x[..., -1])


class WaveNet(nn.Module):
    """WaveNet's gated units and skip connections."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, channels, 1)
        self.gates = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 2, dilation=2**i) for i in range(4))
        self.mix = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 1) for _ in range(4))
        self.last = nn.Sequential(nn.ReLU(), nn.Conv1d(channels, 16, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, t) to (n, 16, t - 15)."""
        x = self.first(x)
        length = x.shape[2] - 15
        total = torch.zeros(1)
        for gate, mix in zip(self.gates, self.mix, strict=True):
            a, b = gate(x).chunk(2, 1)
            y = mix(torch.tanh(a) * torch.sigmoid(b))
            residual, skip = y.chunk(2, 1)
            x = x[..., x.shape[2] - residual.shape[2] :] + residual
            total = total + skip[..., -length:]
        return self.last(total)


class ConvTasNet(nn.Module):
    """Conv-TasNet: a learned filter bank, global layer norm, masks, overlap-add by transposed convolution."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.encode = nn.Conv1d(1, channels, 16, 8, bias=False)
        self.norm = nn.GroupNorm(1, channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels, 24, 1),
                nn.PReLU(),
                nn.GroupNorm(1, 24),
                nn.Conv1d(24, 24, 3, padding=2**i, dilation=2**i, groups=24),
                nn.PReLU(),
                nn.Conv1d(24, channels, 1),
            )
            for i in range(2)
        )
        self.mask = nn.Conv1d(channels, 2 * channels, 1)
        self.decode = nn.ConvTranspose1d(channels, 1, 16, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, t) to two voices (n, 2, t)."""
        e = torch.relu(self.encode(x))
        y = self.norm(e)
        for block in self.blocks:
            y = y + block(y)
        masks = torch.sigmoid(self.mask(y)).chunk(2, 1)
        return torch.cat([self.decode(e * m) for m in masks], 1)


class Demucs(nn.Module):
    """Demucs' levels: GLU, transposed convolutions, skip sums; without its LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv1d(i, o, 8, 4, 2), nn.ReLU(), nn.Conv1d(o, 2 * o, 1), nn.GLU(1))
            for i, o in ((1, 8), (8, 16))
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv1d(i, 2 * i, 3, padding=1), nn.GLU(1), nn.ConvTranspose1d(i, o, 8, 4, 2))
            for i, o in ((16, 8), (8, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, t) to the same shape."""
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        for layer in self.up:
            x = layer(x + skips.pop())
        return x


class Crnn(nn.Module):
    """Convolutions over a spectrogram, then a GRU in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d((1, 2)),
            nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d((1, 4)),
        )  # fmt: skip
        self.rnn = nn.GRU(16 * 4, 16, batch_first=True, bidirectional=True)
        self.last = nn.Linear(32, 6)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, t, 32) to (n, t, 6)."""
        y = self.conv(x).permute(0, 2, 1, 3).flatten(2)
        return torch.sigmoid(self.last(self.rnn(y)[0]))


class SpectrumCnn(nn.Module):
    """A short-time Fourier transform as a convolution, its magnitude and logarithm, then a small network."""

    def __init__(self) -> None:
        super().__init__()
        time = torch.arange(64)
        angle = 2 * torch.pi * torch.arange(17)[:, None] * time / 64
        window = torch.hann_window(64)
        self.register_buffer("basis", torch.cat([angle.cos() * window, angle.sin() * window])[:, None])
        self.layers = nn.Sequential(
            nn.Conv1d(17, 24, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(24, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, t) to (n, 4)."""
        real, imaginary = nn.functional.conv1d(x, self.basis, stride=32).chunk(2, 1)
        return self.layers(torch.log(real.square() + imaginary.square() + 1e-3))


class EcgNet(nn.Sequential):
    """A 1-D residual-free network for heart signals, with average pools."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(2, 8, 7, 2, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.AvgPool1d(2), nn.Conv1d(8, 16, 5, 2, 2),
            nn.BatchNorm1d(16), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(64, 5),
        )  # fmt: skip


class EegNet(nn.Module):
    """EEGNet: convolutions over time and over electrodes, ELU."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, (1, 16), padding="same", bias=False), nn.BatchNorm2d(8),
            nn.Conv2d(8, 16, (8, 1), groups=8, bias=False), nn.BatchNorm2d(16), nn.ELU(), nn.AvgPool2d((1, 4)),
            nn.Conv2d(16, 16, (1, 8), padding="same", groups=16, bias=False), nn.Conv2d(16, 16, 1, bias=False),
            nn.BatchNorm2d(16), nn.ELU(), nn.AvgPool2d((1, 8)), nn.Flatten(), nn.Linear(64, 4),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 8, 128) to (n, 4)."""
        return self.layers(x)


class LstmForecast(nn.Module):
    """Two LSTM layers over a time series, and the last hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.last = nn.LSTM(4, 16, 2, batch_first=True), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, 4) to (n, 2)."""
        return self.last(self.rnn(x)[0][:, -1])


def _spectrogram_transformer() -> nn.Module:
    from transformers import ASTConfig, ASTForAudioClassification

    config = ASTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                       max_length=64, num_mel_bins=32, num_labels=4)  # fmt: skip
    return Wrapped(ASTForAudioClassification(config), lambda module, x: module(x).logits)


def _patch_tst() -> nn.Module:
    from transformers import PatchTSTConfig, PatchTSTForPrediction

    config = PatchTSTConfig(num_input_channels=3, context_length=64, patch_length=8, patch_stride=8, d_model=32,
                            num_attention_heads=2, num_hidden_layers=2, ffn_dim=64, prediction_length=8)  # fmt: skip
    return Wrapped(PatchTSTForPrediction(config), lambda module, x: module(past_values=x).prediction_outputs)


NETWORKS = [
    Network("tcn", FIELD, Tcn, [wave(64, 4)]),
    Network("wavenet", FIELD, WaveNet, [wave(128)]),
    Network("conv_tasnet", FIELD, ConvTasNet, [wave(256)]),
    Network("demucs", FIELD, Demucs, [wave(256)]),
    Network("crnn", FIELD, Crnn, [image((24, 32), 1)]),
    Network("spectrum_cnn", FIELD, SpectrumCnn, [wave(512)]),
    Network("ecg_net", FIELD, EcgNet, [wave(256, 2)]),
    Network("eeg_net", FIELD, EegNet, [image((8, 128), 1)]),
    Network("lstm_forecast", FIELD, LstmForecast, [sequence(24, 4)]),
    Network("audio_spectrogram_transformer", FIELD, _spectrogram_transformer, [sequence(64, 32)], "transformers"),
    Network("patch_tst", FIELD, _patch_tst, [sequence(64, 3)], "transformers"),
]
