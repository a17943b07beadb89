"""The words and marks the grammar of answers knows. docs/answers.md says what each group does."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Reading letters and names

PREFIXES = frozenset({"option", "choice", "letter"})
JOINTS = frozenset({".", ":", ")", "-", "=", ",", "(", "<", ">", "|", "/"})  # between a letter and its name
# What may follow the letter A, and never the article.
AFTER_A = _words("is but because since and or would should seems appears which")
# What says that a small letter behind it is an option's, where it ends its clause.
BEFORE_SMALL = _words("is be it's choose pick select say with answer letter : = ( -")
# A capital behind a choice that starts a sentence, though no full stop stands between.
STARTS = _words("The This It In Because Explanation Reason Reasoning He She They There Based")

# Statements in words

# What turns a statement into its opposite, into another choice than the answer, or into a guess.
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
# What makes all that follows in the sentence a supposition.
SUPPOSED = _words("if unless whether example instance format suppose supposing assume assuming")
# No answer, unless it is the most so.
POSSIBLE = _words("possible plausible potential potentially")
# Whose answer or emotion it is: not the picture's.
OWNERS = _words(
    """his her their its she he they people many few nobody someone somebody everyone everybody viewer viewers user
    critics experts"""
)
BLOCKERS = NEGATION | OTHER | HEDGE
# Where a clause ends, going left or right.
CLAUSE_MARKS = _words(", : - ( ) | = ...")
CLAUSE_WORDS = _words(
    "but so therefore thus hence however because since as while although though and yet then given due consequently"
)
# What may follow a letter that is the answer; AFTER_NAME: a name.
REASONS = _words(
    """because since as due given based for here in which where from when while considering though although but rather
    not instead over overall again option choice answer among out of this at with"""
)
AFTER_NAME = REASONS - _words("of at with")
# What stands between choices that are named in the same breath.
JOIN_MARKS = _words(", / & + ( - | > =")
JOIN_WORDS = _words(
    "or and maybe perhaps possibly also then either even plus alternatively to through vs versus nor with"
)
JOIN_PAIRS = {("as", "well"), ("followed", "by"), ("along", "with"), ("together", "with")}
# What starts a clause of its own behind a choice.
VERBS = _words(
    """is isn't was are aren't does doesn't has would could can cannot can't seems appears implies represents describes
    suggests refers relates"""
)
# What the answer is called; FEELINGS of these belong to a picture or to somebody in it, HEADS only before a colon.
NOUNS = _words(
    """answer ans option choice selection pick conclusion verdict decision guess letter match fit description
    descriptor representation label category class classification emotion feeling sentiment one prediction word term
    best correct appropriate fitting suitable likely accurate solution answer's"""
)
FEELINGS = _words("emotion feeling sentiment")
HEADS = NOUNS | _words("final selected chosen output result response assistant")
MOODS = _words("mood tone atmosphere caption theme")  # of these only behind a letter
# What may stand between "emotion" and "is" where a name follows: the picture, not somebody in it.
ABOUT_PICTURE = _words(
    """in of by from for to the this that which image image's picture picture's photo photograph scene artwork painting
    here is are being best most accurately closely clearly likely represents represented representing represent
    describes described describe conveys conveyed convey expresses expressed express depicts depicted depict shown
    displayed evokes evoked evoke captured portrayed illustrated reflected matches match fits fit me would overall seen
    presented it question only i see feel comes mind seems appears has ought can being given above provided
    corresponding associated with prominently strongly detected recognized identified perceived"""
)
# What may stand between "is" and the choice.
NEAR = _words(
    """the most likely probably clearly definitely certainly obviously therefore thus hence indeed actually simply
    really just undoubtedly surely evidently ultimately then so option choice letter emotion feeling of that still
    overall primarily mainly mostly predominantly exactly as follows following description label now"""
)
# What makes "be" a statement; "could", "might" and "may" do not.
MODALS = _words("would should must will to only")
INTENTIONS = _words("was were almost wanted tempted about")  # of somebody who chose otherwise in the end
PRONOUNS = _words("it this that")
# What somebody does who answers; IMPERATIVE: without saying who.
CHOOSE = _words(
    """choose chose chosen choosing select selected selecting pick picked picking say go going opt opting vote answer
    settle guess think believe conclude"""
)
IMPERATIVE = _words("choose chose select selected selecting choosing picking pick picked go going")
SPEAKERS = _words("i we i'd i'll i've i'm we'd we'll let's my me")
# What is done to a picture by or as a choice; POINT: what points to one; SUGGEST: to one with its letter and name.
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
FREE = _words("answer ans option choice selection solution")  # no picture has one, so any words may follow
# What may stand between "choose" and the choice; THE_FEELING: between "as" and the choice.
TOWARDS = _words(
    """: emotion the that it it's is be this option choice letter for with on to most likely probably definitely
    clearly"""
)
THE_FEELING = _words("the a option emotion category of being feeling letter description")
# What says of a choice that it is the answer.
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

# Statements by position

# What a sentence may start with before the choice it consists of.
CONNECTIVES = _words(
    """so thus therefore hence definitely clearly obviously certainly probably likely most surely ok okay sure well
    finally overall ultimately simply final conclusion in consequently accordingly to conclude summarize summary short
    think believe guess say would i i'd"""
)
OPENINGS = _words("based looking in from considering given judging after according")
BECAUSE = _words("because since as due given based")
AGAINST_OTHERS = frozenset({"not", "rather", "instead", "over"})
EXPLANATIONS = BECAUSE | _words("the this it he she they there a an in his her their not rather instead")
# What a first sentence may consist of that says nothing.
COURTESIES = _words("sure certainly okay ok yes of course absolutely well hmm great question , alright")
# What may follow a choice that stands alone.
AFTERTHOUGHTS = _words("option choice definitely certainly obviously clearly probably likely for sure")
# What a sentence starts with that offers a further choice.
OFFERS = _words("or maybe perhaps possibly alternatively")
HEAD_MARKS = frozenset({":", "-", ")", "=", "("})
OF_OPTIONS = frozenset({"option", "options", "choices", "each"})
