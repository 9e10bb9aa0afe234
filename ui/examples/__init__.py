"""Examples of the studio: queries with their candidates, and pictures that `draw` drew."""

from pathlib import Path
from typing import NamedTuple

FOLDER = str(Path(__file__).resolve().parent)


class Example(NamedTuple):
    """`label` is in English and in Chinese. Files are given by their names in this folder."""

    label: tuple[str, str]
    query: str
    query_files: tuple[str, ...]
    texts: tuple[str, ...]
    media: tuple[str, ...]


def path(name: str) -> str:
    return str(Path(FOLDER, name))


# Some candidates of each example share words with the query and do not answer it. The best never comes first.
RERANK = (
    Example(
        label=("Forgotten password", "忘记密码"),
        query="How do I reset my password?",
        query_files=(),
        texts=(
            "Passwords must have at least 12 characters and one digit.",
            "To reset the router, hold the small button at the back for ten seconds.",
            "Never share your password with anybody, not even with the help desk.",
            "Forgot it? Click “Forgot password” on the sign-in page and follow the link we send to your e-mail.",
            "My order arrived broken. How do I get a refund?",
            "If you cannot sign in any more, the help desk can send you a new temporary password.",
            "Our office is closed on Sundays and on public holidays.",
            "You can change the language of your account under Settings.",
        ),
        media=(),
    ),
    Example(
        label=("无线降噪耳机", "无线降噪耳机"),
        query="无线降噪耳机",
        query_files=(),
        texts=(
            "无线充电宝，可带上飞机，支持快充",
            "有线入耳式耳机，带麦克风，适合学生网课",
            "无线降噪耳机，头戴式，隔绝噪音",
            "儿童遥控飞机玩具，耐摔，适合初学者",
            "无线静音鼠标，办公家用",
            "飞机旅行颈枕，记忆棉，可折叠",
            "红色陶瓷马克杯，可用微波炉加热",
            "降噪隔音棉，适合录音室墙面使用",
        ),
        media=(),
    ),
    Example(
        label=("Why leaves turn red", "秋叶为什么变红"),
        query="Why do leaves change colour in autumn?",
        query_files=(),
        texts=(
            "Hotels at the lake fill up early in autumn, and the train leaves only twice a day. If your plans change, "
            "call us two days ahead. Every room has a balcony.",
            "Our guide met us at the gate and handed out maps. As the days grow shorter, he said, trees stop making "
            "chlorophyll, so the green of their leaves fades and yellow pigments become visible. "
            "The tour ended with tea in the old mill.",
            "To change the colour of a wall, first wash it and let it dry. Then put on two thin coats of paint. "
            "Leave the windows open until the smell is gone.",
            "The maple is on the flag of Canada. Its leaves turn red when cold autumn nights trap sugar in them. "
            "Syrup is boiled down from its sap in spring.",
            "Tea is made from the leaves of one evergreen shrub. Whether it becomes green or black tea depends on how "
            "long they are left to oxidise.",
            "A chameleon changes its colour with tiny crystals in its skin. It does so to show its mood or to keep "
            "warm, and less often to hide.",
        ),
        media=(),
    ),
    Example(
        label=("A dog on the beach", "海滩上的狗"),
        query="A woman playing with her dog on a beach at sunset",
        query_files=(),
        texts=(
            "City lights glitter over the skyline at night.",
            "A woman shares a joyful moment with her golden retriever on a sun-drenched beach at sunset.",
            "How to change a bicycle tyre in five steps.",
            "A dog runs along the beach while the sun goes down.",
        ),
        media=("city.jpg", "mug.jpg", "beach.jpg", "mountain.jpg", "headphones.jpg", "dog_beach.mp4"),
    ),
)

# Label in English and in Chinese, query, and a list as people paste it.
PRODUCTS = (
    (
        ("Mugs, one per line", "马克杯（每行一个）"),
        "a large cup for hot coffee that keeps warm",
        """Plastic water bottle with straw, 1 litre
Set of six espresso cups, 60 ml
Coffee grinder with ceramic burrs
Insulated steel travel mug for coffee, 500 ml, keeps drinks hot for six hours
Red ceramic mug, 350 ml
World cup football, size 5
Warm fleece blanket, 150 x 200 cm
Paper coffee filters, 100 pieces""",
    ),
    (
        ("Headphones, CSV with brand and price", "耳机（CSV，含品牌和价格）"),
        "wireless headphones that block out noise on a plane",
        """title,brand,price,category
"Wired earphones with microphone, 3.5 mm",Klara,12.90,Audio
Wireless charging pad 15 W,Voltano,24.00,Phone accessories
"Over-ear Bluetooth headphones with active noise cancelling, 40 h",Auralis,189.00,Audio
"Foam ear plugs, 50 pairs",Stillr,9.50,Health
Model plane kit 1:72,Avion,31.00,Toys
White noise machine for babies,Nido,39.90,Baby
"Open-ear wireless running headphones, sweatproof",Auralis,79.00,Audio
"Headphone stand, walnut",Klara,29.00,Furniture""",
    ),
    (
        ("登山装备", "登山装备"),
        "防水登山鞋",
        """防水手机袋，游泳漂流可用
男士休闲皮鞋，商务正装
防水登山鞋，高帮防滑，适合徒步
登山背包，五十升，带防雨罩
儿童雨鞋，卡通图案
轻便跑步鞋，透气网面
登山杖，碳纤维，可伸缩
防水冲锋衣，三合一""",
    ),
)
