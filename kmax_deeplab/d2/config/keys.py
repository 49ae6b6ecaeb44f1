"""Configuration: every key this project adds to Detectron2's, once, with its unit.

Names and defaults are those of the released code (the COCO ResNet-50 recipe), so that released YAML
files work unchanged. New keys default to the released behaviour.
"""

from dataclasses import fields

from detectron2.config import CfgNode

from kmax_deeplab.losses.criterion import LossSettings

LEGACY_KEYS = (
    "INPUT.SIZE_DIVISIBILITY",  # images are padded to INPUT.IMAGE_SIZE
    "MODEL.CONVNEXT.OUT_INDICES",  # OUT_FEATURES says it
    "MODEL.KMAX_DEEPLAB.SIZE_DIVISIBILITY",  # images are padded to INPUT.IMAGE_SIZE
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.IN_CHANNELS",  # PIXEL_DEC.DEC_CHANNELS say it
    # logits are always brought to the output size before they are merged
    "MODEL.KMAX_DEEPLAB.TEST.SEM_SEG_POSTPROCESSING_BEFORE_INFERENCE",
)
"""Keys of released YAML files that are accepted and have no effect, with the reason."""


RELEASED_LOSS_KEYS = {
    "semantic_weight": "AUX_SEMANTIC_WEIGHT",
    "insdis_samples": "PIXEL_INSDIS_SAMPLE_K",
    "insdis_temperature": "PIXEL_INSDIS_TEMPERATURE",
    "semantic_samples": "AUX_SEMANTIC_SAMPLE_K",
    "semantic_temperature": "AUX_SEMANTIC_TEMPERATURE",
}
LOSS_KEYS = {
    setting.name: RELEASED_LOSS_KEYS.get(setting.name, setting.name.upper())
    for setting in fields(LossSettings)
}
"""Key in MODEL.KMAX_DEEPLAB of each setting of the losses: its name, or the released one."""


def add_kmax_deeplab_config(cfg: CfgNode) -> None:
    """Adds this project's keys to a config; call after Detectron2's `add_deeplab_config`."""
    import kmax_deeplab.d2  # noqa: F401  registers the names that the keys refer to

    _add_data(cfg)
    _add_solver(cfg)
    _add_run(cfg)
    _add_convnext(cfg)
    _add_timm(cfg)
    _add_network(cfg)
    _add_weights(cfg)
    _add_losses(cfg)
    _add_inference(cfg)
    _add_tensorflow_variants(cfg)


def _add_data(cfg: CfgNode) -> None:
    # Panoptic datasets to register: mappings with name, images, json, pngs.
    cfg.DATASETS.PANOPTIC = []
    # K, void not counted; 0: as many as the datasets in use have categories.
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 0
    cfg.INPUT.DATASET_MAPPER_NAME = "panoptic_lsj"
    # (height, width) in pixels that every image is padded to; 32k + 1 or 32k.
    cfg.INPUT.IMAGE_SIZE = [1281, 1281]
    # Range of the random scale in training.
    cfg.INPUT.MIN_SCALE = 0.2
    cfg.INPUT.MAX_SCALE = 2.0
    # What it is relative to: "fit", fitting inside IMAGE_SIZE, or "pixels", those of the image: for
    # images of many sizes whose things have the same size in pixels, as in microscopes.
    cfg.INPUT.SCALE_OF = "fit"
    # Probability that segments of a second image are pasted on a sample.
    cfg.INPUT.COPY_PASTE = 1.0
    cfg.INPUT.SIZE_DIVISIBILITY = -1
    # Side in pixels of the windows in which images are looked at in evaluation and prediction, each
    # resized to MIN_SIZE_TEST; what they show is joined. 0: images are looked at as a whole.
    cfg.INPUT.TILE_TEST = 0
    # Least share of a window's side that the next one sees too: things up to that size are whole in
    # one of them.
    cfg.INPUT.TILE_OVERLAP_TEST = 0.5


def _add_solver(cfg: CfgNode) -> None:
    cfg.SOLVER.OPTIMIZER = "ADAMW"
    # Type of mixed precision, SOLVER.AMP.ENABLED: "float16" (gradients are scaled) or "bfloat16".
    cfg.SOLVER.AMP.DTYPE = "float16"
    # Factor on the learning rate of the backbone.
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1
    # Factors of other parts, which go before that one: [["backbone.stages.0", 0.01], …]. For a
    # parameter the longest name counts that its own begins with.
    cfg.SOLVER.LR_FACTORS = []
    # Batches of SOLVER.IMS_PER_BATCH images whose gradients are averaged before a step, so that a
    # step sees ACCUMULATE times as many. Norms see the images of one batch.
    cfg.SOLVER.ACCUMULATE = 1
    # Images of a step that BASE_LR is meant for; the rate is in proportion to them. 0: for any.
    cfg.SOLVER.REFERENCE_BATCH = 0
    # Steps in a row that may be skipped because a loss or gradient is not finite. float16 skips
    # some at first, until the scale of its gradients fits.
    cfg.SOLVER.MAX_SKIPPED_STEPS = 30
    # Keep their batches in OUTPUT_DIR/skipped, to be looked into with torch.load.
    cfg.SOLVER.KEEP_SKIPPED_BATCHES = False
    # Moving average of the weights: evaluated beside them ("ema"), kept in checkpoints and at last
    # as model_final_ema.pth. DECAY is approached in the first iterations.
    cfg.SOLVER.EMA = CfgNode()
    cfg.SOLVER.EMA.ENABLED = False
    cfg.SOLVER.EMA.DECAY = 0.9998
    # Weight decay of embeddings other than relative positions and cluster centres, which have none.
    cfg.SOLVER.WEIGHT_DECAY_EMBED = 0.05


def _add_run(cfg: CfgNode) -> None:
    # Who shows figures and pictures beside metrics.json: "tensorboard", "wandb", "mlflow"; the
    # packages of the last two are to be installed.
    cfg.LOGGERS = ["tensorboard"]
    # Images of the first test dataset that they show after each evaluation, with the prediction and
    # the assignment of every k-means layer.
    cfg.TEST.SHOWN_IMAGES = 2
    # Same numbers bit for bit on the same machine, on GPUs too, which become slower.
    cfg.DETERMINISTIC = False
    cfg.DIST = CfgNode()
    # Seconds without an answer after which the other processes end the run.
    cfg.DIST.TIMEOUT = 1800
    cfg.CHECKPOINTER = CfgNode()
    # Newest numbered checkpoints that are kept; 0: all.
    cfg.CHECKPOINTER.MAX_TO_KEEP = 0
    # Score in evaluations (TEST.EVAL_PERIOD) whose best model is kept as model_best.pth; "": none.
    cfg.CHECKPOINTER.BEST = "panoptic_seg/PQ"
    # Seconds after which a run saves and ends, to be resumed; 0: none.
    cfg.CHECKPOINTER.TIME_LIMIT = 0
    # Damaged files that a training leaves out before it ends.
    cfg.DATALOADER.MAX_DAMAGED = 100


def _add_convnext(cfg: CfgNode) -> None:
    cfg.MODEL.CONVNEXT = CfgNode()
    cfg.MODEL.CONVNEXT.IN_CHANNELS = 3
    cfg.MODEL.CONVNEXT.DEPTHS = [3, 3, 27, 3]
    cfg.MODEL.CONVNEXT.DIMS = [192, 384, 768, 1536]
    # Drop probability of the last block; it grows linearly from 0.
    cfg.MODEL.CONVNEXT.DROP_PATH_RATE = 0.6
    # Initial layer scale.
    cfg.MODEL.CONVNEXT.LSIT = 1e-6
    cfg.MODEL.CONVNEXT.OUT_INDICES = [0, 1, 2, 3]
    cfg.MODEL.CONVNEXT.OUT_FEATURES = ["res2", "res3", "res4", "res5"]


def _add_timm(cfg: CfgNode) -> None:
    cfg.MODEL.TIMM = CfgNode()
    # Model of timm that MODEL.BACKBONE.NAME "D2Timm" wraps; MODEL.WEIGHTS names its weights.
    cfg.MODEL.TIMM.NAME = "convnextv2_tiny"
    # "stem" (stride 2, where the model has it) and "res2" to "res5" (strides 4, 8, 16, 32).
    cfg.MODEL.TIMM.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    # Drop probability of the last block, as the model's own option `drop_path_rate`.
    cfg.MODEL.TIMM.DROP_PATH_RATE = 0.0
    # Other options of the model's constructor, alternating names and values: ["window_size", 12].
    cfg.MODEL.TIMM.OPTIONS = []


def _add_network(cfg: CfgNode) -> None:
    cfg.MODEL.KMAX_DEEPLAB = CfgNode()
    node = cfg.MODEL.KMAX_DEEPLAB
    # Norm of head and axial ResNet: "SyncBN" (statistics over all ranks) or "BN" (of each rank).
    node.NORM = "SyncBN"
    # Weight of the newest batch in running statistics, head and ResNets.
    node.NORM_MOMENTUM = 0.01
    # Memory format of the convolutions; every run sets it to True (d2/config/run.py).
    node.CHANNEL_LAST_FORMAT = False
    # Whether float32 convolutions and products may use TF32 on GPUs: 10 bits of mantissa.
    node.TF32 = True
    # Whether a training step keeps the outputs of convolutions only and computes norms,
    # activations and attention weights of decoders and backbone again when their gradient is due:
    # less memory for more time, the same gradients. None: on CPUs (a fifth less memory, a tenth
    # more time), but for ConvNeXt, whose linear layers are computed twice if True. What is compiled
    # decides by itself what to keep, and keeps less if True. tools/analyze_model.py tells memory.
    node.RECOMPUTE_ACTIVATIONS = None
    node.SIZE_DIVISIBILITY = -1

    # How torch.compile compiles backbone, head and losses: "inductor", "reduce-overhead" (the same
    # with CUDA graphs), "max-autotune", "aot_eager" (no kernels, to look for faults), or "": not.
    # "auto" is "inductor" in trainings and evaluations on a GPU, elsewhere "". A compilation takes
    # a minute or two, for every size of batch and image anew; TORCHINDUCTOR_CACHE_DIR keeps it.
    node.COMPILE = "auto"

    # Of MODEL.BACKBONE.NAME "kMaXBackbone", in YAML files: `kind`, one of model/build.BACKBONES,
    # and the arguments of its constructor.
    node.BACKBONE = CfgNode(new_allowed=True)

    node.PIXEL_DEC = CfgNode()
    node.PIXEL_DEC.NAME = "kMaXPixelDecoder"
    node.PIXEL_DEC.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    # Per stage, coarse to fine: number of blocks, their type, their base channels.
    node.PIXEL_DEC.DEC_LAYERS = [1, 5, 1, 1]
    node.PIXEL_DEC.LAYER_TYPES = ["axial", "axial", "bottleneck", "bottleneck"]
    node.PIXEL_DEC.DEC_CHANNELS = [512, 256, 128, 64]
    node.PIXEL_DEC.DROP_PATH_PROB = 0.0

    node.TRANS_DEC = CfgNode()
    node.TRANS_DEC.NAME = "kMaXTransformerDecoder"
    # k-means layers on the features at strides 32, 16, 8.
    node.TRANS_DEC.DEC_LAYERS = [2, 2, 2]
    node.TRANS_DEC.IN_CHANNELS = [2048, 1024, 512, 256]
    node.TRANS_DEC.NUM_OBJECT_QUERIES = 128
    node.TRANS_DEC.DROP_PATH_PROB = 0.2


def _add_weights(cfg: CfgNode) -> None:
    # Parts of the model that begin anew whatever MODEL.WEIGHTS holds, for fine-tuning: "classes"
    # (class heads and the last semantic layer), "queries" (cluster centres), "semantic" (the
    # auxiliary semantic head below its last layer).
    cfg.MODEL.KMAX_DEEPLAB.REINITIALIZE = []
    # Parts that are not trained, by the beginning of their parameters' names: ["backbone"]. Norms
    # in them keep their statistics.
    cfg.MODEL.KMAX_DEEPLAB.FREEZE = []


def _add_losses(cfg: CfgNode) -> None:
    node = cfg.MODEL.KMAX_DEEPLAB
    for setting in fields(LossSettings):  # whose docstring says what they mean
        node[LOSS_KEYS[setting.name]] = setting.default
    # ASPP decoder (True) or a single head on the coarsest feature (False).
    node.USE_AUX_SEMANTIC_DECODER = True


def _add_inference(cfg: CfgNode) -> None:
    # Keep predictions in the inference folder as the benchmarks' servers want them: panoptic PNGs
    # and JSON, COCO's results of instances and semantics, or Cityscapes' PNGs.
    cfg.TEST.SAVE_PREDICTIONS = False
    # Number of images of each test dataset to evaluate, evenly spread over it; 0: all.
    cfg.TEST.MAX_IMAGES = 0
    # Mixed precision of the network in evaluation and prediction, on GPUs.
    cfg.TEST.AMP = CfgNode()
    cfg.TEST.AMP.ENABLED = False
    cfg.TEST.AMP.DTYPE = "float16"
    # Images per batch and process in evaluation.
    cfg.TEST.IMS_PER_BATCH = 1
    # Number of evaluated images whose picture is written.
    cfg.MODEL.KMAX_DEEPLAB.SAVE_VIS_NUM = 0
    cfg.MODEL.KMAX_DEEPLAB.TEST = CfgNode()
    node = cfg.MODEL.KMAX_DEEPLAB.TEST
    node.PANOPTIC_ON = True
    node.SEMANTIC_ON = False
    node.INSTANCE_ON = False
    # Probabilities: least class score of a thing, of stuff; least share of a pixel; least free
    # share of a mask.
    node.CLASS_THRESHOLD_THING = 0.7
    node.CLASS_THRESHOLD_STUFF = 0.5
    node.PIXEL_CONFIDENCE_THRESHOLD = 0.4
    node.OVERLAP_THRESHOLD = 0.8
    # Powers of the class and the mask score in the order in which queries are merged.
    node.REORDER_CLASS_WEIGHT = 1.0
    node.REORDER_MASK_WEIGHT = 1.0
    node.SEM_SEG_POSTPROCESSING_BEFORE_INFERENCE = False


def _add_tensorflow_variants(cfg: CfgNode) -> None:
    """What the official TensorFlow models do otherwise; configs/_base_/tf*.yaml choose it."""
    # Max-pool after the stem (stride 4). Without, stem has stride 2 and res2 begins with stride 2.
    cfg.MODEL.RESNETS.STEM_POOL = True
    # Blocks apply ReLU to their input instead of their output, so that features are unactivated.
    cfg.MODEL.RESNETS.ACTIVATE_ON_ENTRY = False
    # "none", "relu" or "gelu" for the features at strides 8 and 4 that the auxiliary semantic head
    # sees: what the blocks of a backbone with unactivated features apply on entry.
    cfg.MODEL.KMAX_DEEPLAB.LOW_LEVEL_ACTIVATION = "none"
    # Dilation of the 3x3 convolutions in bottlenecks of the pixel decoder.
    cfg.MODEL.KMAX_DEEPLAB.PIXEL_DEC.BOTTLENECK_DILATION = 1
    # Backbone D2AxialResNet: MaX-S, the axial ResNet-50 with GELU.
    cfg.MODEL.AXIAL_RESNET = CfgNode()
    node = cfg.MODEL.AXIAL_RESNET
    # Per stage: number of blocks, and how many of them, the last ones, attend along the axes.
    node.DEPTHS = [3, 4, 6, 3]
    node.AXIAL_DEPTHS = [0, 0, 5, 3]
    # Of the first convolutions; the stem gives twice, res2 4 times, res5 32 times as many.
    node.STEM_CHANNELS = 64
    # Drop probability of every block, in order.
    node.DROP_PATH_PROBS = [0.0] * 8 + [0.15] * 6 + [0.2] * 2
    node.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
