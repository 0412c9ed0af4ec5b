"""Small talk: how people ask about each other and take what they hear, found in the conversations that are learned.

A handful of questions of ours, woven into thousands of conversations, would be most of what a model says; those of
people are thousands. What fits any trait is written by us, in as many forms as we could think of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from training.embedded.statements import content, sentences
from training.embedded.talks import Talk

_ASKS = re.compile(
    r"^(?:What|Where|Which|Who|How|When|Why|Do you|Are you|Can you)\b.*\byou(?:r|rself|'re|'ve)?\b.*\?$"
)
_POINTS_BACK = re.compile(
    r"\b(?:that|it|its|this|they|them|their|there|then|he|him|his|she|her|hers|one|ones|those|these|too|either|again"
    r"|also|else|other|others|same|mean|meant|say|said|saying|talking|guys?|or|and|was|were|did|know|hear|heard"
    r"|recommend|suggest|want|last|next|today|tonight|yesterday)\b",
    re.IGNORECASE,
)
_PROPER = re.compile(r"(?<=\s)(?!I\b|I')[A-Z0-9]")


def questions(talks: Iterable[Talk]) -> list[str]:
    """Questions about the other speaker that need nothing said before, each once, in order of appearance."""
    found: dict[str, None] = {}
    for talk in talks:
        found.update(dict.fromkeys(said for turn in talk.turns for said in sentences(turn) if _opens(said)))
    return list(found)


def _opens(said: str) -> bool:
    whole = 4 <= len(said.split()) <= 12 and _ASKS.match(said) and content(said)
    return bool(whole) and not _POINTS_BACK.search(said) and not _PROPER.search(said)


_KIND = re.compile(
    r"^(?:(?:Oh|Wow|Ah|Haha|Well|Really|Hey)[,.! ]+)*"
    r"(?:That|That's|You|You're|Sounds|Nice|Cool|Great|Awesome|Lovely|Sweet|Interesting|Amazing|Wonderful|Lucky|How)"
    r"\b.*\b(?:nice|cool|great|fun|interesting|awesome|amazing|lovely|lucky|good|wonderful|impressive|neat|sweet"
    r"|fascinating|fantastic|exciting|rewarding|special|brave|smart|clever|adorable|beautiful|incredible|perfect)\b"
    r"(?: .*)?[.!]$",
    re.IGNORECASE,
)
_NARROW = re.compile(
    r"\b(?:i|i'm|i'd|i've|me|my|we|our|he|she|they|them|his|her|their|not|no|never|was|were|had|but|movies?|films?"
    r"|songs?|shows?|games?|books?|bands?|teams?|ones?|albums?|idea|question|point|talking|chatting|meet|day|night|luck"
    r"|thanks?|too|also|choice|pick|list)\b|n't\b|\ban? \w+ (?!time|deal|lot)\w+[.!]$",
    re.IGNORECASE,
)


def reactions(talks: Iterable[Talk], least: int = 2) -> list[str]:
    """Friendly sentences, told by people `least` times or more after a statement, that fit many statements."""
    said: Counter[str] = Counter()
    for talk in talks:
        for before, turn in zip(talk.turns, talk.turns[1:], strict=False):
            first = next(iter(sentences(turn)), "")
            short = not before.endswith("?") and 2 <= len(first.split()) <= 7
            if short and _KIND.match(first) and not _NARROW.search(first):
                said[first] += 1
    return [each for each, count in said.items() if count >= least]


BEFORE = (
    *("Oh, ", "Well, ", "Honestly, ", "To be honest, ", "Me? ", "Funny you ask. ", "Let me think. ", "Hmm, ", "Ha, "),
    *("Good question. ", "Where do I start? ", "In short, ", "As for me, ", "Ah, ", "Now that you ask, ", "Right, "),
    *("You will laugh. ", "It is no secret. ", "Sure. ", "Gladly. ", "For a start, ", "If you must know, ", "Okay, "),
    *("I will tell you. ", "Not many ask me. ", "Frankly, ", "Believe it or not, ", "Simple. ", "Hm, well, "),
)
AFTER = (
    *("It is a big part of my life.", "That is me.", "Not everybody knows that.", "Ask anybody in my family."),
    *("My friends tease me about it.", "I would not change a thing.", "It keeps me happy.", "Strange, I know."),
    *("It has always been so.", "People are often surprised.", "It makes my week.", "Now you know."),
    *("I could go on for hours.", "It is not for everybody.", "I am rather proud of it.", "What can I say?"),
)
BACK = (
    *("What about you?", "How about you?", "And you?", "You?", "And what about yourself?", "What is yours?"),
    *("Now you!", "Your turn.", "Is it the same with you?", "How is it with you?", "What would you say?"),
    *("And your side?", "Now tell me yours.", "Do tell me about you.", "What do you say to that question?"),
)
REACTIONS = (
    *("Oh, nice!", "That sounds great!", "That is interesting!", "Really? I like that.", "I did not expect that."),
    *("I can imagine.", "That must be something.", "Good for you!", "I would like to see that.", "That is so you."),
    *("You made me smile.", "I had no idea.", "How lovely.", "That suits you.", "Well, I never!", "Good to know."),
    *("I will remember that.", "You are full of surprises.", "Tell me more some day.", "No wonder you are happy."),
)
ON = (
    *("Really? Tell me more.", "Oh, how so?", "Wait, go on.", "I want to hear more of that.", "How do you mean that?"),
    *("Do go on.", "And then?", "Is there more to it?", "In what way?", "Oh? Say more.", "You make me curious."),
    *("Since when?", "How did you get to that?", "Just like that?", "Don't stop there!", "And the rest?", "Yes?"),
)
ANYTHING = (
    *("Tell me something about yourself.", "What should I know about you?", "What else is there to know about you?"),
    *("So what are you like?", "What do your friends say about you?", "Tell me one more thing about you."),
    *("What is new with you?", "What makes you who you are?", "Can you tell me a bit about yourself?"),
    *("What would surprise me about you?", "What do you want me to know?", "Is there anything I should know?"),
    *("How would you describe yourself?", "What is your story?", "Who are you when nobody looks?"),
    *("Any secrets you would share?", "What do people get wrong about you?", "Give me a fun fact about you."),
    *("What fills your days?", "What would your neighbours tell me?", "How does your life look?"),
    *("Name one thing that is typical of you.", "What are you known for?", "What sets you apart?"),
    *("I know so little of you.", "Now I am curious about you.", "Let us talk about you for a bit."),
    *("What keeps you busy?", "What is life like for you?", "Anything special about you?", "What drives you?"),
    *("What did I not ask you yet?", "What matters to you?", "What would you put on a postcard about yourself?"),
    *("And in your own life?", "What is going on with you?", "What do you tell people whom you meet?"),
    *("How would your family describe you?", "What am I missing about you?", "What do you like to talk about?"),
    *("Surprise me with something of yours.", "What is something you never told me?", "So, who am I talking to?"),
)
