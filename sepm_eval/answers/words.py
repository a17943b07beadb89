"""The words and marks of the grammar of answers; docs/answers.md describes the rules that use them."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words for finding letters and names

PREFIXES = frozenset({"option", "choice", "letter"})
JOINTS = frozenset({".", ":", ")", "-", "=", ",", "(", "<", ">", "|", "/"})  # between a letter and its name
# Words that may follow the letter A, but never the article "A".
AFTER_A = _words("is but because since and or would should seems appears which")
# Words and marks after which a small letter is an option's letter if it ends its clause.
BEFORE_SMALL = _words("is be it's choose pick select say with answer letter : = ( -")
# Words that start a new sentence after a choice, even if no full stop stands in between.
STARTS = _words("The This It In Because Explanation Reason Reasoning He She They There Based")

# Words for statements in words

# Words that negate a statement (NEGATION), make it one about another choice (OTHER), or turn it into a guess (HEDGE).
NEGATION = _words(
    """not no none never neither nor cannot without except excluding exclude excludes eliminate eliminates eliminated
    eliminating discard discarded reject rejected rejecting rule ruled ruling avoid dismiss dismissed disagree doubt
    wrong incorrect incorrectly false invalid inappropriate inaccurate unsuitable unlikely least less worst weakest
    opposite contrary missing absent lacking lack lacks mistaken mistake mistakenly trap distractor tempting cant dont
    doesnt isnt wasnt wouldnt shouldnt wont didnt arent unlike unrelated irrelevant hardly odd nothing nobody farthest
    furthest than instead over opposed unsure unclear unable uncertain refuse neutral"""
)
OTHER = _words(
    """other others another second third fourth next secondary alternative alternatively alternate runner-up previous
    former earlier original initial sample second-best backup else"""
)
HEDGE = _words(
    """or might may could perhaps maybe possibly either both between whether if unless each every any some all example
    instance format why wonder suppose supposing assume assuming thought considered consider initially"""
)
# Words that turn everything after them in the sentence into a supposition.
SUPPOSED = _words("if unless whether example instance format suppose supposing assume assuming")
# Words for a choice that is not stated as the answer, except after "most", "best" or "only".
POSSIBLE = _words("possible plausible potential potentially")
# Words for people whose answer or emotion is meant instead of the picture's.
OWNERS = _words(
    """his her their its she he they people many few nobody someone somebody everyone everybody viewer viewers user
    critics experts"""
)
BLOCKERS = NEGATION | OTHER | HEDGE
# Marks and words at which a clause ends, to the left or to the right.
CLAUSE_MARKS = _words(", : - ( ) | = ...")
CLAUSE_WORDS = _words(
    "but so therefore thus hence however because since as while although though and yet then given due consequently"
)
# Words that may follow a letter that is the answer; AFTER_NAME: those that may follow a name.
REASONS = _words(
    """because since as due given based for here in which where from when while considering though although but rather
    not instead over overall again option choice answer among out of this at with"""
)
AFTER_NAME = REASONS - _words("of at with")
# Marks and words between choices that are joined, such as "B or C".
JOIN_MARKS = _words(", / & + ( - | > =")
JOIN_WORDS = _words(
    "or and maybe perhaps possibly also then either even plus alternatively to through vs versus nor with"
)
JOIN_PAIRS = {("as", "well"), ("followed", "by"), ("along", "with"), ("together", "with")}
# Verbs that start a clause after a choice, with the choice as their subject.
VERBS = _words(
    """is isn't was are aren't does doesn't has would could can cannot can't seems appears implies represents describes
    suggests refers relates"""
)
# Words for the answer. FEELINGS are those among them that a picture or somebody in it may have. HEADS are the words for
# the answer before a colon or as a heading, and for a choice with a letter everywhere.
NOUNS = _words(
    """answer ans option choice selection pick conclusion verdict decision guess letter match fit description
    descriptor representation label category class classification emotion feeling sentiment one prediction word term
    best correct appropriate fitting suitable likely accurate solution answer's"""
)
FEELINGS = _words("emotion feeling sentiment")
HEADS = NOUNS | _words("final selected chosen output result response assistant")
MOODS = _words("mood tone atmosphere caption theme")  # words for the answer only if the choice has a letter
# Words that may stand between "emotion" and "is" before a name: they refer to the picture, not to somebody in it.
ABOUT_PICTURE = _words(
    """in of by from for to the this that which image image's picture picture's photo photograph scene artwork painting
    here is are being best most accurately closely clearly likely represents represented representing represent
    describes described describe conveys conveyed convey expresses expressed express depicts depicted depict shown
    displayed evokes evoked evoke captured portrayed illustrated reflected matches match fits fit me would overall seen
    presented it question only i see feel comes mind seems appears has ought can being given above provided
    corresponding associated with prominently strongly detected recognized identified perceived"""
)
# Words that may stand between "is" and the choice.
NEAR = _words(
    """the most likely probably clearly definitely certainly obviously therefore thus hence indeed actually simply
    really just undoubtedly surely evidently ultimately then so option choice letter emotion feeling of that still
    overall primarily mainly mostly predominantly exactly as follows following description label now"""
)
# Words before "be" that make a statement; "could", "might" and "may" do not.
MODALS = _words("would should must will to only")
INTENTIONS = _words("was were almost wanted tempted about")  # the speaker only considered this choice
PRONOUNS = _words("it this that")
# Verbs of choosing; IMPERATIVE: those that count without a subject such as "I".
CHOOSE = _words(
    """choose chose chosen choosing select selected selecting pick picked picking say go going opt opting vote answer
    settle guess think believe conclude"""
)
IMPERATIVE = _words("choose chose select selected selecting choosing picking pick picked go going")
SPEAKERS = _words("i we i'd i'll i've i'm we'd we'll let's my me")
# Verbs before "as", "by", "with" or "under" and a choice (DESCRIBED), verbs that point to a choice (POINT), and verbs
# that do so only with a word of BEST, or if the choice has letter and name or a prefix (SUGGEST).
DESCRIBED = _words(
    """described represented characterized characterised classified labeled labelled categorized categorised captured
    summarized summed matched expressed conveyed aligned falls identified describe identify classify label categorize
    characterize interpret"""
)
POINT = _words(
    """corresponds correspond corresponding aligns align aligned matches match fits fit represents represent describes
    points point"""
)
SUGGEST = _words(
    "indicates suggests depicts conveys evokes expresses reflects captures portrays shows suggest indicate"
)
BEST = _words("best accurately closely")
FREE = _words("answer ans option choice selection solution")  # a picture has none of these, so any words may follow
# Words that may stand between "choose" and the choice; THE_FEELING: those between "as" and the choice.
TOWARDS = _words(
    """: emotion the that it it's is be this option choice letter for with on to most likely probably definitely
    clearly"""
)
THE_FEELING = _words("the a option emotion category of being feeling letter description")
# Words after a choice that state it as the answer.
COPULAS = _words("is would should must will be seems appears to definitely likely probably most therefore indeed")
VERBS_OF_FIT = _words(
    """describes represents fits matches captures conveys reflects expresses depicts summarizes characterizes
    corresponds aligns describe represent fit match"""
)
BEFORE_SAID = _words("and or nor makes make making")
OF_ANSWERS = NOUNS - _words("likely letter word term")
OPENING_MARKS = _words("( ) : =")
RIGHT = _words("correct right best")
MOST = _words("appropriate fitting likely suitable accurate probable relevant apt representative")

# Words for statements by position

# Words with which a sentence may start before the choice that it consists of.
CONNECTIVES = _words(
    """so thus therefore hence definitely clearly obviously certainly probably likely most surely ok okay sure well
    finally overall ultimately simply final conclusion in consequently accordingly to conclude summarize summary short
    think believe guess say would i i'd"""
)
OPENINGS = _words("based looking in from considering given judging after according")
BECAUSE = _words("because since as due given based")
AGAINST_OTHERS = frozenset({"not", "rather", "instead", "over"})
EXPLANATIONS = BECAUSE | _words("the this it he she they there a an in his her their not rather instead")
# Words of a polite first sentence that says nothing about the answer.
COURTESIES = _words("sure certainly okay ok yes of course absolutely well hmm great question , alright")
# Words that may follow a choice that stands alone.
AFTERTHOUGHTS = _words("option choice definitely certainly obviously clearly probably likely for sure")
# First words of a sentence that offers an alternative choice.
OFFERS = _words("or maybe perhaps possibly alternatively")
HEAD_MARKS = frozenset({":", "-", ")", "=", "("})
OF_OPTIONS = frozenset({"option", "options", "choices", "each"})
