"""How much arithmetic a MotionNet and the networks behind it do."""


def multiply_adds(network, size):
    """Multiplications with an addition that one clip needs, biases left out.

    Args:
        network: built MotionNet.
        size: (height, width) of the clips.

    Returns:
        int.

    Example:
        >>> network = MotionNet(11)
        >>> network.build((None, 11, 224, 224, 3))
        >>> multiply_adds(network, (224, 224)) / 1e9    # 40.1 GFLOP, twice as many
        20.05
    """
    pixels, total, sizes = size[0] * size[1], 0, []
    for convolution, is_level in zip(network.convolutions, network._levels, strict=True):
        pixels //= convolution.strides[0] ** 2
        total += pixels * _kernel(convolution)
        if is_level:
            sizes.append(pixels)
    head = network.head
    coarse_to_fine = sizes[::-1]
    layers = [(head.flow_convolutions[0], coarse_to_fine[0])]
    for index, pixels in enumerate(coarse_to_fine[1:]):
        # A transposed convolution spreads each pixel of its coarser input.
        below = coarse_to_fine[index]
        layers += [(head.deconvolutions[index], below), (head.upsamplings[index], below)]
        layers += [(one, pixels) for one in head.smooth_convolutions[index : index + 1]]
        layers.append((head.flow_convolutions[index + 1], pixels))
    return total + sum(pixels * _kernel(layer) for layer, pixels in layers)


def _kernel(layer):
    count = 1
    for length in layer.kernel.shape:
        count *= length
    return count


def layer_multiply_adds(model):
    """The same of a functional model of convolutions and dense layers, for one image.

    Models among its layers are counted layer by layer too.

    Args:
        model: built functional keras.Model of fixed size, VGG16 say.

    Returns:
        int.
    """
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += layer_multiply_adds(layer)
            continue
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        pixels = 1
        for length in layer.output.shape[1:-1]:
            pixels *= length
        total += pixels * _kernel(layer)
    return total
