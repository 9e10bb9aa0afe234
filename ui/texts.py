"""All words of the page in English and Chinese. Python and the page's scripts read the same tables."""

from typing import Any, Literal

Language = Literal["en", "zh"]
LANGUAGES: dict[str, Language] = {"EN": "en", "中文": "zh"}

# Words of components and scripts, by key: (English, Chinese).
WORDS: dict[str, tuple[str, str]] = {
    "tagline": ("Text, image and video reranking", "文本、图片、视频重排序"),
    "tab_rerank": ("Rerank", "重排序"),
    "tab_products": ("Product search", "商品搜索"),
    "tab_compare": ("Compare", "对比"),
    "tab_code": ("Use from code", "代码调用"),
    "engine": ("Engine", "引擎"),
    "load": ("Load model", "加载模型"),
    "query": ("Query", "查询"),
    "query_hint": (
        "What are you looking for? Paste an image, or attach an image or a video (mp4, up to 30 s)",
        "想找什么？可粘贴图片，或添加图片、视频（mp4，不超过 30 秒）",
    ),
    "texts": ("Candidate texts", "候选文本"),
    "texts_hint": ("One candidate per line", "每行一条候选"),
    "media": ("Candidate images and videos", "候选图片与视频"),
    "rerank": ("Rerank", "重排序"),
    "stop": ("Stop", "停止"),
    "options": ("Options", "选项"),
    "instruction": ("Instruction (empty: the model's own)", "指令（留空则用模型默认）"),
    "top_n": ("Show the best", "显示前几名"),
    "min_score": ("Hide scores below", "隐藏低于此分的结果"),
    "examples": ("Examples", "示例"),
    "json": ("⤓ JSON", "⤓ JSON"),
    "csv": ("⤓ CSV", "⤓ CSV"),
    "copy_link": ("Copy link", "复制链接"),
    "inputs": ("Query and candidates", "查询与候选"),
    "product_query": ("What does the shopper want?", "顾客想找什么？"),
    "products": (
        "Products: one per line, or JSON or CSV with title, brand, price, category",
        "商品：每行一个，或粘贴含 title、brand、price、category 的 JSON / CSV",
    ),
    "search": ("Search", "搜索"),
    "compare": ("Compare", "对比"),
    "code_note": (
        "The input of the Rerank tab as code. YOUR_KEY is a key of the gateway's, or any word where it has none.",
        "“重排序”页当前输入对应的代码。YOUR_KEY 为网关密钥；网关未设密钥时可填任意内容。",
    ),
    # Read by the scripts of the page.
    "results": ("Results", "结果"),
    "empty_title": ("No results yet", "还没有结果"),
    "empty_step": (
        "Enter a query, add candidates, then press Rerank. Or start with an example.",
        "输入查询并添加候选，然后点击“重排序”；也可以先点一个示例。",
    ),
    "nothing_left": ("No result reaches the score you asked for.", "没有结果达到所设的最低分。"),
    "rank": ("#{0}", "第{0}名"),
    "text": ("text", "文本"),
    "image": ("image", "图片"),
    "video": ("video", "视频"),
    "was": ("was {0}", "原第 {0} 位"),
    "frames": ("Frames the model saw", "模型看到的画面"),
    "copy": ("Copy text", "复制文本"),
    "copied": ("Copied", "已复制"),
    "scored": ("{0}/{1} scored", "已打分 {0}/{1}"),
    "summary": ("{0} results, best score {1}", "{0} 条结果，最高分 {1}"),
    "histogram": ("Scores from 0 to 1: {0}", "0 到 1 的分数分布：{0}"),
    "score": ("score", "分数"),
    "relevance": ("relevance {0}", "相关度 {0}"),
    "more": ("and {0} more; all of them are in the exports", "还有 {0} 条；导出文件中包含全部"),
    "working": ("Scoring…", "正在打分…"),
    "stopped": ("Stopped", "已停止"),
    "retry": ("Try again", "重试"),
    "hidden": ("{0} below the lowest score you asked for", "另有 {0} 条低于所设的最低分"),
    "failed_item": ("not scored: {0}", "未打分：{0}"),
    "kept": ("Below: the previous results", "以下为上一次的结果"),
    "flat": (
        "Every image scores near 0.5. That is the known sign of an engine with a wrong prompt template: "
        "run `rerank doctor`.",
        "所有图片的分数都接近 0.5：这通常说明引擎的提示模板有误，请运行 `rerank doctor`。",
    ),
    "spans_note": ("Marked: what the engine scores highest on its own", "高亮：单独打分最高的片段"),
    # Singular|plural.
    "n_text": ("{0} text|{0} texts", "{0} 条文本"),
    "n_image": ("{0} image|{0} images", "{0} 张图片"),
    "n_video": ("{0} video|{0} videos", "{0} 个视频"),
    "state_ready": ("Ready", "就绪"),
    "state_stopped": ("Not loaded", "未加载"),
    "state_loading": ("Loading", "加载中"),
    "state_failed": ("Failed", "启动失败"),
    "state_offline": ("Offline", "离线"),
    "state_unreachable": ("Gateway offline", "网关不可用"),
    "status_label": ("Model and memory status", "模型与内存状态"),
}

# Faults by key: title and advice, each in (English, Chinese).
FAULTS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "no_query": (("Please enter a query", "请输入查询"),
                 ("Type a question, or add an image or a video.", "输入问题，或添加图片、视频。")),
    "no_candidates": (("Please add candidates", "请添加候选"),
                      ("One text per line, or images and videos.", "每行一条文本，或添加图片、视频。")),
    "too_many_media": (("Too many images and videos", "图片和视频过多"), ("At most 10 at a time.", "一次最多 10 个。")),
    "too_many_texts": (("Too many candidates", "候选过多"), ("At most 10,000 at a time.", "一次最多 10,000 条。")),
    "not_products": (("The list cannot be read", "商品列表无法读取"),
                     ("It looks like JSON or CSV, and is not quite.", "看起来像 JSON 或 CSV，但格式有误。")),
    "video_too_long": (("The video is too long", "视频过长"), ("At most 30 seconds.", "最长 30 秒。")),
    "unreadable": (("The file cannot be read", "文件无法读取"),
                   ("It is damaged, cut short, or not a picture or video.", "文件已损坏、不完整，或不是图片、视频。")),
    "too_large": (("Too large", "文件过大"), ("Send smaller or fewer files.", "请减小文件或减少数量。")),
    "file_gone": (("The upload was removed", "上传的文件已删除"),
                  ("Uploads are kept for an hour: add the file again.", "上传文件只保留一小时，请重新添加。")),
    "unauthorized": (("The gateway asks for a key", "网关需要密钥"),
                     ("Start the studio with --api-key.", "请用 --api-key 启动工作台。")),
    "refused": (("The gateway refused the request", "网关拒绝了请求"), ("", "")),
    "no_model": (("The gateway does not know this engine", "网关没有这个引擎"),
                 ("Choose another engine above.", "请在上方选择其他引擎。")),
    "no_vision": (("This engine reads text only", "该引擎只能读取文本"),
                  ("For images and videos start one that sees: rerank up Qwen3-VL-Reranker-2B (needs a GPU).",
                   "图片和视频需要视觉引擎：rerank up Qwen3-VL-Reranker-2B（需要 GPU）。")),
    "not_loaded": (("The model is not loaded", "模型未加载"), ("Load it, then try again.", "请先加载，再重试。")),
    "no_engine": (("The engine does not answer", "引擎没有响应"),
                  ("It may be starting or restarting: try again in a moment.", "可能正在启动或重启，请稍后重试。")),
    "untrusted": (("The engine's scores would be wrong", "引擎的分数有误"),
                  ("So none are shown; rerank doctor says why.", "因此不予显示；原因见 rerank doctor。")),
    "busy": (("The gateway is busy", "网关繁忙"), ("Try again in a moment.", "请稍后重试。")),
    "queue_full": (("Too many people are waiting", "排队已满"), ("Try again in a moment.", "请稍后重试。")),
    "failed": (("The gateway failed", "网关出错"), ("Try again; its log says why.", "请重试；原因见网关日志。")),
    "unreachable": (("The gateway cannot be reached", "无法连接网关"),
                    ("Is it running? Start it with rerank up.", "它在运行吗？可用 rerank up 启动。")),
    "timeout": (("The gateway took too long", "网关超时"),
                ("Try again, or with fewer candidates.", "请重试或减少候选。")),
    "no_load": (("The model cannot be loaded from here", "无法从此处加载模型"),
                ("Its engine is started by hand: rerank up.", "该引擎需手动启动：rerank up。")),
    "unexpected": (("Something went wrong", "出错了"), ("The studio's log says what.", "详情见工作台日志。")),
}  # fmt: skip


def say(key: str, language: Language = "en") -> str:
    return WORDS[key][language == "zh"]


def title(fault: str, language: Language = "en") -> str:
    return FAULTS[fault][0][language == "zh"]


def count(key: str, number: int, language: Language = "en") -> str:
    """A number with its noun, in the plural if the language has one."""
    one, _, others = say(key, language).partition("|")
    return (one if number == 1 or not others else others).format(number)


def for_scripts() -> dict[str, Any]:
    """Both tables in the form of the page's scripts, by language."""
    return {
        language: {
            "words": {key: pair[place] for key, pair in WORDS.items()},
            "faults": {key: [title[place], advice[place]] for key, (title, advice) in FAULTS.items()},
        }
        for place, language in enumerate(("en", "zh"))
    }
